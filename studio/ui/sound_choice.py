"""Choosing the sounds of the lab: bundled voices, what the open project speaks, and one's own recordings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import MAX_UPLOAD_SECONDS, Audio, read_recording, read_wav, shown_name, write_wav
from studio.conversation import lines_in_words
from studio.errors import BadAudio, StudioError
from studio.lab.compare import SHORTEST_CLIP_SECONDS
from studio.project import Project
from studio.ui.answers import answering, told
from studio.ui.lab_desk import Desk, LabDesks
from studio.ui.studio import Studio

MOST_CLIPS = 8
REMEMBER_DESK = "token => { if (token) HiggsStudio.memory.write('lab', token); }"
SPOKEN, OWN, TAKE = "spoken", "sound:", "take:"
FILE = "sound.wav"

Data = dict[Any, Any]


@dataclass(frozen=True)
class SoundChoice:
    """The components, and what they mean."""

    sounds: gr.Dropdown
    recording: gr.Audio
    note: gr.HTML
    own: gr.State  # id → name of the visitor's recordings
    project: gr.Textbox  # token of the project that is open
    desk: gr.Textbox  # token of the lab's desk
    desks: LabDesks

    @property
    def inputs(self) -> set[Any]:
        """What a handler must be given for `chosen`."""
        return {self.sounds, self.own, self.project, self.desk}

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
            if audio.duration_seconds > MAX_UPLOAD_SECONDS:
                raise BadAudio(
                    f"“{name}” lasts {audio.duration_seconds:.0f} s, and the lab takes {MAX_UPLOAD_SECONDS:.0f} s at "
                    "most. Choose single lines of it instead."
                )
            clips[_unused(name, clips)] = audio
        return clips

    def _found(self, studio: Studio, sound_id: str, data: Data) -> tuple[str, Audio]:
        if sound_id == SPOKEN:
            return "Spoken last", _spoken_last(studio, data[self.project])
        if sound_id.startswith(TAKE):
            return _take(_open_project(studio, data[self.project]), sound_id)
        if sound_id.startswith(OWN):
            folder = studio.readings.find(sound_id.removeprefix(OWN))
            if folder is None or sound_id not in data[self.own]:
                raise BadAudio("A recording is no longer here: they are kept for a day. Add it again.")
            return data[self.own][sound_id], read_wav(folder / FILE)
        voice = studio.voices.find(sound_id)
        audio = voice.reference.audio
        assert audio is not None  # the library's voices have their sound
        return voice.name, audio

    def connect(self, studio: Studio, tab: gr.Tab) -> None:
        """Let a recording become one more sound to choose, chosen at once; offer the takes of now with the tab."""

        @answering
        def offer_takes(data: Data) -> Any:
            offered = choices(studio, data[self.own], _open_project(studio, data[self.project]))
            chosen, ids = data[self.sounds] or [], {sound_id for _, sound_id in offered}
            left = [sound_id for sound_id in chosen if sound_id in ids]
            return gr.update(choices=offered) if left == chosen else gr.update(choices=offered, value=left)

        tab.select(
            offer_takes, inputs=self.inputs, outputs=self.sounds, show_progress="hidden", api_visibility="private"
        )

        @answering
        def add_sound(data: Data) -> Data:
            path = data[self.recording]
            if not path:
                return {self.note: gr.skip()}
            try:
                recording = read_recording(Path(path), shortest_seconds=SHORTEST_CLIP_SECONDS)
            except StudioError as problem:
                return {self.note: told(str(problem), wrong=True), self.recording: None}
            token, folder = studio.readings.make()
            write_wav(recording.audio, folder / FILE)
            name = _unused(shown_name(Path(path).name), data[self.own].values())
            own = data[self.own] | {f"{OWN}{token}": name}
            ids = [*(data[self.sounds] or []), [*own][-1]]
            seconds = recording.audio.duration_seconds
            added = f"Added, {seconds:.{1 if seconds >= 1 else 2}f} s."
            return {
                self.own: own,
                self.sounds: gr.update(
                    choices=choices(studio, own, _open_project(studio, data[self.project])),
                    value=ids,
                ),
                self.desk: self.desks.change(data[self.desk], own=own, sounds=ids),
                self.recording: None,
                self.note: told(" ".join([added, *recording.notes]), wrong=False),
            }

        self.recording.change(
            add_sound,
            inputs={self.recording, *self.inputs},
            outputs=[self.own, self.sounds, self.recording, self.note, self.desk],
            show_progress="hidden",
            api_visibility="private",
        ).then(None, inputs=[self.desk], js=REMEMBER_DESK)

    def again(self, studio: Studio, desk: Desk, project: Any) -> Data:
        """What was chosen before the page was loaded again, as far as it is still there."""
        own = {sound_id: name for sound_id, name in desk.own.items() if studio.readings.find(sound_id[len(OWN) :])}
        try:
            offers = choices(studio, own, _open_project(studio, project))
        except StudioError:  # the project is damaged, which its own tab says
            offers = choices(studio, own, None)
        there = {sound_id for _, sound_id in offers}
        chosen = [sound_id for sound_id in desk.sounds if sound_id in there]
        return {self.own: own, self.sounds: gr.update(choices=offers, value=chosen)}


def sound_choice(studio: Studio, project: gr.Textbox, desks: LabDesks) -> SoundChoice:
    """Build the components."""
    first = next(iter(studio.voices.bundled))
    sounds = gr.Dropdown(
        choices(studio, {}, None),
        value=[first],
        multiselect=True,
        label="Sounds",
        elem_id="hs-lab-sounds",
        filterable=False,
    )
    recording = gr.Audio(
        label="Add a recording",
        sources=["upload", "microphone"],
        type="filepath",
        waveform_options=gr.WaveformOptions(sample_rate=24_000),
        elem_id="hs-lab-recording",
    )
    note = gr.HTML(visible=False, apply_default_css=False, elem_id="hs-lab-note")
    desk = gr.Textbox("", visible=False, label="Desk")
    return SoundChoice(sounds, recording, note, gr.State({}), project, desk, desks)


def choices(studio: Studio, own: dict[str, str], project: Project | None) -> list[tuple[str, str]]:
    """What the menu offers: the visitor's own recordings first, then what the open project speaks."""
    return [
        *((name, sound_id) for sound_id, name in own.items()),
        ("What was spoken last", SPOKEN),
        *((name, sound_id) for sound_id, (name, _) in (_takes(project) if project else {}).items()),
        *((f"Voice: {voice.name}", voice.id) for voice in studio.voices.bundled.values()),
    ]


def _takes(project: Project) -> dict[str, tuple[str, Audio]]:
    """Name and sound, by id in the menu, of the take that is heard of each line; one in one breath stands once."""
    names = dict(enumerate(project.draft.names))
    numbers: dict[str, list[int]] = {}
    speakers: dict[str, list[str]] = {}
    for line in (line for group in project.draft.groups for line in group):
        if take_id := project.chosen.get(line.row):
            numbers.setdefault(take_id, []).append(line.number)
            speakers.setdefault(take_id, []).append(names.get(line.speaker, "nobody"))
    takes = {}
    for take_id, lines in numbers.items():
        kept = project.take(take_id)
        number = 1 + [one.id for one in project.takes_of(kept.rows[0])].index(take_id)
        who = ", ".join(dict.fromkeys(speakers[take_id]))
        takes[TAKE + take_id] = (f"{lines_in_words(lines)} · {who}, take {number}", kept.take.audio)
    return takes


def _take(project: Project | None, sound_id: str) -> tuple[str, Audio]:
    takes = _takes(project) if project else {}
    if sound_id not in takes:
        raise BadAudio("A chosen take is no longer heard in the open project. Choose another sound.")
    return takes[sound_id]


def _open_project(studio: Studio, token: Any) -> Project | None:
    return studio.projects.load(token) if isinstance(token, str) else None


def _spoken_last(studio: Studio, token: Any) -> Audio:
    project = _open_project(studio, token)
    readings = project.readings() if project else []
    if not readings:
        raise BadAudio("Nothing has been spoken yet. Generate a conversation first, or choose another sound.")
    return readings[0].audio


def _unused(name: str, taken: Any) -> str:
    """The name, or with a number behind it."""
    used = set(taken)
    numbered = (name if number == 1 else f"{name} ({number})" for number in range(1, len(used) + 2))
    return next(one for one in numbered if one not in used)
