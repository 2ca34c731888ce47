"""Tab *Voices*: a shelf of voices on the left; one of them, examined and in full, on the right."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import read_recording, shown_name
from studio.errors import BadConversation, StudioError
from studio.ui.answers import told
from studio.ui.studio import Studio
from studio.ui.voice_desk import VoiceDesk
from studio.voice_file import keep, unpack

FOR_YOU = "Voices you add stay with this browser and are deleted when nobody used them for a day."
FOR_ALL = (
    "This server keeps voices for good: what you finish here is listed for everybody who opens this page. "
    "Only this browser can change or delete it."
)

Data = dict[Any, Any]


def voices_tab(studio: Studio) -> None:
    """Build the tab."""
    functions = VoiceDesk(studio).functions()
    with gr.Row(elem_id="hs-voices"):
        with gr.Column(elem_classes="hs-zone", min_width=280):
            recording = gr.Audio(
                label="Add a voice: upload or record",
                sources=["upload", "microphone"],
                type="filepath",
                editable=False,  # trimmed here, by samples of the file itself
                elem_id="hs-recording",
            )
            opened = gr.UploadButton("Open a voice file", size="sm", elem_id="hs-voice-file")
            note = gr.HTML(visible=False, apply_default_css=False, elem_id="hs-voice-note")
            gr.HTML(f'<p class="hs-quiet">{FOR_ALL if studio.voices.shared else FOR_YOU}</p>')
            shelf = _part({"open": ""}, "shelf", "Voices", "mountShelf", functions[:1])
        with gr.Column(elem_classes="hs-zone", min_width=340):
            _part({"recogniser": studio.recogniser.name}, "sheet", "The chosen voice", "mountSheet", functions[1:])
            with gr.Accordion("Spoken consent statement (optional)", open=False, elem_id="hs-spoken-consent"):
                statement = gr.Audio(
                    label="The person says whose voice it is and what it may be used for",
                    sources=["upload", "microphone"],
                    type="filepath",
                    editable=False,
                    elem_id="hs-statement",
                )
                statement_note = gr.HTML(visible=False, apply_default_css=False, elem_id="hs-statement-note")
    _connect(studio, shelf, (recording, opened, statement), (note, statement_note))


def _part(value: Data, name: str, label: str, mount: str, functions: list[Callable[[Any], Data]]) -> gr.HTML:
    return gr.HTML(
        value,
        html_template=f'<section class="hs-{name}" aria-label="{label}"></section>',
        js_on_load=f"HiggsStudio.Voices.{mount}(element, props, watch, server);",
        server_functions=functions,
        apply_default_css=False,
        elem_id=f"hs-voice-{name}",
    )


def _connect(
    studio: Studio,
    shelf: gr.HTML,
    sources: tuple[gr.Audio, gr.UploadButton, gr.Audio],
    notes: tuple[gr.HTML, gr.HTML],
) -> None:
    """Let recordings and files become voices that are opened at once, and a spoken statement join the open one."""
    recording, opened, statement = sources
    note, statement_note = notes
    times = itertools.count(1)  # Gradio may send an equal value twice; a number tells them apart

    def show(voice_id: str) -> Data:
        return {"opened": voice_id, "time": next(times)}

    def begin_voice(data: Data) -> Data:
        if not data[recording]:
            return {note: gr.skip()}
        path = Path(data[recording])
        try:
            voice = studio.voices.begin(read_recording(path, as_it_is=True), shown_name(path.name))
        except StudioError as problem:
            return {note: told(str(problem), wrong=True), recording: None}
        return {note: told(" ".join(voice.notes), wrong=False), recording: None, shelf: show(voice.id)}

    def open_voice_file(data: Data) -> Data:
        path = Path(data[opened])
        try:
            voice = keep(studio.voices, unpack(path, path.name))
        except StudioError as problem:
            return {note: told(str(problem), wrong=True)}
        return {note: told(f"{voice.name} was opened.", wrong=False), shelf: show(voice.id)}

    def keep_statement(data: Data) -> Data:
        if not data[statement]:
            return {statement_note: gr.skip()}
        try:
            asked = data[shelf] if isinstance(data[shelf], dict) else {}
            voice_id = str(asked.get("open") or asked.get("opened") or "")
            if not voice_id.startswith("own:"):
                raise BadConversation("Choose one of your own voices first.")
            studio.voices.attach_statement(voice_id, read_recording(Path(data[statement])).audio)
        except StudioError as problem:
            return {statement_note: told(str(problem), wrong=True), statement: None}
        return {
            statement_note: told("The spoken statement is kept with the voice.", wrong=False),
            statement: None,
            shelf: show(voice_id),
        }

    for component, event, answer, outputs in (
        (recording, recording.change, begin_voice, [note, recording, shelf]),
        (opened, opened.upload, open_voice_file, [note, shelf]),
        (statement, statement.change, keep_statement, [statement_note, statement, shelf]),
    ):
        event(
            answer,
            inputs={component, shelf},
            outputs=outputs,
            show_progress="hidden",
            api_visibility="private",
        )
