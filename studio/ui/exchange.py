"""The panel that imports and exports conversations as chat messages (JSON), in both forms."""

import json
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from studio.draft import draft_of
from studio.errors import BadConversation
from studio.messages import from_messages, to_messages
from studio.ui.answers import answering
from studio.ui.editor import read_draft
from studio.ui.studio import Studio
from studio.ui.voice_panel import own_ids
from studio.voices import LibraryVoice

MAX_IMPORT_BYTES = 2**20

Data = dict[Any, Any]


def exchange_panel(studio: Studio, editor: gr.HTML) -> None:
    """Build the panel, folded."""
    with gr.Accordion("Import and export", open=False):
        gr.Markdown(
            "Chat messages as Higgs Audio V2 reads them. Recordings are named by file name: add them under "
            "*Add a voice*; nothing is fetched from anywhere."
        )
        upload = gr.UploadButton("Import messages", file_types=[".json"], elem_id="hs-import")
        form = gr.Radio(
            [("Typed: a scene role, content in lists", "typed"), ("Plain: the scene inside the system text", "plain")],
            value="typed",
            label="Form of the export",
        )
        export = gr.Button("Export messages")
        exported = gr.File(label="Messages", visible=False, elem_id="hs-exported")
    upload.upload(
        answering(lambda data: _import(studio, data[editor], data[upload])),
        inputs={editor, upload},
        outputs=[editor],
        api_visibility="private",
    )

    @answering
    def write(data: Data) -> Any:
        conversations = read_draft(data[editor]).conversations(studio.voices)
        messages = [to_messages(conversation, data[form]) for conversation in conversations]
        path = Path(tempfile.mkdtemp()) / "messages.json"
        path.write_text(
            json.dumps(messages if len(messages) > 1 else messages[0], indent=2, ensure_ascii=False), "utf-8"
        )
        return gr.update(value=str(path), visible=True)

    export.click(write, inputs={editor, form}, outputs=[exported], api_visibility="private")


def _import(studio: Studio, value: Any, file: str) -> Data:
    """The editor's new value: the draft that the messages stand for."""
    path = Path(file)
    if path.stat().st_size > MAX_IMPORT_BYTES:
        raise BadConversation("The file is larger than 1 MB; conversations are a few kB. Choose the JSON of one.")
    try:
        messages = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        raise BadConversation("The file is not JSON that can be read. Export it again where it comes from.") from None
    known = _voices_by_file_name(studio, value)
    conversation = from_messages(messages, lambda name: known[name].reference if name in known else None)
    ids = [
        known[reference.file_name].id if (reference := speaker.voice.reference) and reference.file_name in known else ""
        for speaker in conversation.speakers
    ]
    missing = [item.file_name for item in conversation.references if item.audio is None]
    if missing:
        gr.Warning(f"Not here yet: {', '.join(missing)}. Add them under “Add a voice”, then choose them in the cast.")
    return {"draft": draft_of(conversation, ids).as_json()}


def _voices_by_file_name(studio: Studio, value: Any) -> dict[str, LibraryVoice]:
    """Bundled voices and the visitor's own, by the name of their recording."""
    voices = list(studio.voices.bundled.values())
    for voice_id in own_ids(value):
        try:
            voices.append(studio.voices.find(voice_id))
        except BadConversation:
            continue
    return {voice.reference.file_name: voice for voice in voices}
