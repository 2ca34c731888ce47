"""Choosing the sounds of the lab: bundled voices, what was spoken last, and any number of recordings of one's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import Audio, read_recording, read_wav, shown_name, write_wav
from studio.errors import BadAudio, StudioError
from studio.ui.answers import answering
from studio.ui.sound_view import kept_views
from studio.ui.studio import Studio

SHORTEST_SECONDS = 0.05
MOST_CLIPS = 8
SPOKEN, OWN = "spoken", "sound:"
FILE = "sound.wav"

Data = dict[Any, Any]


@dataclass(frozen=True)
class SoundChoice:
    """The components, and what they mean."""

    sounds: gr.Dropdown
    recording: gr.Audio
    note: gr.Markdown
    own: gr.State  # id → name of the visitor's recordings
    spoken: gr.JSON

    @property
    def inputs(self) -> set[Any]:
        """What a handler must be given for `chosen`."""
        return {self.sounds, self.own, self.spoken}

    def chosen(self, studio: Studio, data: Data) -> dict[str, Audio]:
        """The clips by the name they are shown under.

        Raises:
            BadAudio: none, too many, or one that is not there.
        """
        ids = data[self.sounds] or []
        if not ids:
            raise BadAudio("Choose at least one sound: a voice, what was spoken last, or a recording of yours.")
        if len(ids) > MOST_CLIPS:
            raise BadAudio(f"Choose at most {MOST_CLIPS} sounds at a time.")
        clips: dict[str, Audio] = {}
        for sound_id in ids:
            name, audio = self._found(studio, sound_id, data)
            clips[_unused(name, clips)] = audio
        return clips

    def _found(self, studio: Studio, sound_id: str, data: Data) -> tuple[str, Audio]:
        if sound_id == SPOKEN:
            return "Spoken last", _spoken_last(studio, data[self.spoken])
        if sound_id.startswith(OWN):
            folder = studio.readings.find(sound_id.removeprefix(OWN))
            if folder is None or sound_id not in data[self.own]:
                raise BadAudio("A recording is no longer here: they are kept for a day. Add it again.")
            return data[self.own][sound_id], read_wav(folder / FILE)
        voice = studio.voices.find(sound_id)
        audio = voice.reference.audio
        assert audio is not None  # the library's voices have their sound
        return voice.name, audio

    def connect(self, studio: Studio) -> None:
        """Let a recording become one more sound to choose, chosen at once."""

        @answering
        def add_sound(data: Data) -> Data:
            path = data[self.recording]
            if not path:
                return {self.note: gr.skip()}
            try:
                recording = read_recording(Path(path), shortest_seconds=SHORTEST_SECONDS)
            except StudioError as problem:
                return {self.note: gr.update(value=f"**Not added.** {problem}", visible=True), self.recording: None}
            token, folder = studio.readings.make()
            write_wav(recording.audio, folder / FILE)
            name = _unused(shown_name(Path(path).name), data[self.own].values())
            own = data[self.own] | {f"{OWN}{token}": name}
            added = f"Added, {recording.audio.duration_seconds:.1f} s."
            return {
                self.own: own,
                self.sounds: gr.update(choices=choices(studio, own), value=[*(data[self.sounds] or []), [*own][-1]]),
                self.recording: None,
                self.note: gr.update(value=" ".join([added, *recording.notes]), visible=True),
            }

        self.recording.change(
            add_sound,
            inputs={self.recording, self.sounds, self.own},
            outputs=[self.own, self.sounds, self.recording, self.note],
            show_progress="hidden",
            api_visibility="private",
        )


def sound_choice(studio: Studio, spoken: gr.JSON) -> SoundChoice:
    """Build the components."""
    first = next(iter(studio.voices.bundled))
    sounds = gr.Dropdown(
        choices(studio, {}), value=[first], multiselect=True, label="Sounds", elem_id="hs-lab-sounds", filterable=False
    )
    recording = gr.Audio(
        label="Add a recording",
        sources=["upload", "microphone"],
        type="filepath",
        waveform_options=gr.WaveformOptions(sample_rate=24_000),
        elem_id="hs-lab-recording",
    )
    note = gr.Markdown(visible=False, elem_classes="hs-note", elem_id="hs-lab-note")
    return SoundChoice(sounds, recording, note, gr.State({}), spoken)


def choices(studio: Studio, own: dict[str, str]) -> list[tuple[str, str]]:
    """What the menu offers: the visitor's own recordings first."""
    return [
        *((name, sound_id) for sound_id, name in own.items()),
        ("What was spoken last", SPOKEN),
        *((f"Voice: {voice.name}", voice.id) for voice in studio.voices.bundled.values()),
    ]


def _spoken_last(studio: Studio, tokens: Any) -> Audio:
    kept = kept_views(tokens[:1] if isinstance(tokens, list) else [], studio.readings)
    folder = studio.readings.find(kept[0][0]) if kept else None
    if folder is None:
        raise BadAudio("Nothing has been spoken yet. Generate a conversation first, or choose another sound.")
    return read_wav(folder / kept[0][1]["file_name"])


def _unused(name: str, taken: Any) -> str:
    """The name, or with a number behind it."""
    used = set(taken)
    numbered = (name if number == 1 else f"{name} ({number})" for number in range(1, len(used) + 2))
    return next(one for one in numbered if one not in used)
