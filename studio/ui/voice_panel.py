"""The panel that adds a voice of one's own: a recording, a name, the words said in it, and the right to use it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import read_recording, shown_name
from studio.errors import BadConversation, StudioError
from studio.ui.answers import told
from studio.ui.studio import Studio
from studio.voices import LONGEST_REFERENCE_SECONDS, LibraryVoice

OWN_VOICES_KEPT = 40

Data = dict[Any, Any]


@dataclass(frozen=True)
class VoicePanel:
    """The components of the panel."""

    recording: gr.Audio
    name: gr.Textbox
    transcript: gr.Textbox
    allowed: gr.Checkbox
    add: gr.Button
    note: gr.HTML

    def connect(self, studio: Studio, editor: gr.HTML) -> None:
        """Let *Add this voice* put the voice into the library and into the menus of the cast."""

        def add_voice(data: Data) -> Data:
            try:
                voice = self._voice(studio, data)
            except StudioError as problem:
                return {self.note: told(str(problem), wrong=True)}  # beside the form, which stays as it is
            words = " ".join((f"{voice.name} is now in the voice menus of the cast.", *voice.notes))
            return {
                editor: {"voices": voice_cards(studio, [*own_ids(data[editor]), voice.id])},
                self.recording: None,
                self.name: "",
                self.transcript: "",
                self.allowed: False,
                self.note: told(words, wrong=False),
            }

        self.add.click(
            add_voice,
            inputs={editor, self.recording, self.name, self.transcript, self.allowed},
            outputs=[editor, self.recording, self.name, self.transcript, self.allowed, self.note],
            show_progress_on=[self.add],
            api_visibility="private",
        )

    def _voice(self, studio: Studio, data: Data) -> LibraryVoice:
        """Put what the form holds into the library."""
        missing = [
            words
            for words, there in (
                ("Upload or record some speech: 3 to 30 seconds, one person, no music.", data[self.recording]),
                ("Give the voice a name.", (data[self.name] or "").strip()),
                ("Type what is said in the recording.", (data[self.transcript] or "").strip()),
                ("Tick that you may use this voice: it is yours, or its owner agreed.", data[self.allowed]),
            )
            if not there
        ]
        if missing:
            raise BadConversation(" ".join(missing))
        path = Path(data[self.recording])
        return studio.voices.add(read_recording(path), data[self.name], data[self.transcript], shown_name(path.name))


def voice_panel() -> VoicePanel:
    """Build the panel, folded."""
    with gr.Accordion("Add a voice", open=False, elem_id="hs-add-voice"):
        recording = gr.Audio(
            label="Recording",
            sources=["upload", "microphone"],
            type="filepath",
            waveform_options=gr.WaveformOptions(sample_rate=24_000),  # the default would resample what is trimmed
            elem_id="hs-recording",
        )
        name = gr.Textbox(label="Name", max_length=40)
        transcript = gr.Textbox(
            label="What is said in it",
            info=f"Word for word. 3 to 10 seconds are best, {LONGEST_REFERENCE_SECONDS:.0f} at most.",
            lines=2,
            max_length=1_000,
        )
        allowed = gr.Checkbox(False, label="This is my voice, or its owner agreed to this use.")
        add = gr.Button("Add this voice")
        note = gr.HTML(visible=False)
    return VoicePanel(recording, name, transcript, allowed, add, note)


def own_ids(value: Any) -> list[str]:
    """The ids of the visitor's own voices, as the editor sent them."""
    ids = value.get("own", []) if isinstance(value, dict) else []
    return [item for item in ids if isinstance(item, str) and item.startswith("own:")][:OWN_VOICES_KEPT]


def own_cards(studio: Studio, ids: Sequence[Any]) -> list[Data]:
    """Cards of those of the visitor's voices that are still here."""
    cards = []
    for voice_id in own_ids({"own": list(ids)}):
        try:
            cards.append(studio.voices.find(voice_id).card())
        except BadConversation:
            continue  # swept since: the cast says so where it was chosen
    return cards


def voice_cards(studio: Studio, ids: Sequence[str]) -> list[Data]:
    """Cards of all voices a visitor may choose, their own first."""
    return [*own_cards(studio, ids), *(voice.card() for voice in studio.voices.bundled.values())]
