"""The panel that imports and exports conversations as chat messages (JSON), in both forms."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from studio.conversation import Conversation
from studio.draft import Draft, draft_of
from studio.errors import BadConversation, StudioError
from studio.messages import Form, from_messages, to_messages
from studio.ui.answers import told
from studio.ui.editor import read_draft
from studio.ui.studio import Studio
from studio.ui.voice_panel import own_ids
from studio.voices import MAX_NAME_CHARACTERS, LibraryVoice, Reference

NAMES = "speakers"  # a key of our own on the system message: the tags say only numbers
MAX_IMPORT_BYTES = 2**20

Data = dict[Any, Any]


def exchange_panel(studio: Studio, editor: gr.HTML) -> None:
    """Build the panel, folded."""
    with gr.Accordion("Chat messages", open=False):
        gr.Markdown(
            "Chat messages as Higgs Audio V2 reads them. Recordings are named by file name: add them under "
            "*Add a voice*; nothing is fetched from anywhere."
        )
        upload = gr.UploadButton("Import messages", file_types=[".json"], size="sm", elem_id="hs-import")
        form = gr.Radio(
            [("Typed: a scene role, content in lists", "typed"), ("Plain: the scene inside the system text", "plain")],
            value="typed",
            label="Form of the export",
        )
        export = gr.Button("Export messages", size="sm")
        exported = gr.File(label="Messages", visible=False, elem_id="hs-exported")
        note = gr.HTML(visible=False)

    def read(data: Data) -> Data:
        try:
            draft, missing = _import(studio, data[editor], data[upload])
        except StudioError as problem:
            return {note: told(str(problem), wrong=True)}
        words = "The conversation is in the script."
        if missing:
            words = f"Not here yet: {', '.join(missing)}. Add them under “Add a voice”, then choose them in the cast."
        return {editor: {"draft": draft.as_json()}, note: told(words, wrong=bool(missing))}

    def write(data: Data) -> Iterator[Data]:
        try:
            text = _export(studio, data[editor], data[form])
        except StudioError as problem:
            yield {note: told(str(problem), wrong=True)}
            return
        with tempfile.TemporaryDirectory() as folder:  # Gradio takes its own copy
            path = Path(folder) / "messages.json"
            path.write_text(text, "utf-8")
            yield {exported: gr.update(value=str(path), visible=True), note: gr.update(visible=False)}

    upload.upload(read, inputs={editor, upload}, outputs=[editor, note], api_visibility="private")
    export.click(write, inputs={editor, form}, outputs=[exported, note], api_visibility="private")


def _export(studio: Studio, value: Any, form: Form) -> str:
    """Messages of the script; a list of lists where dividers make several conversations of it."""
    conversations = read_draft(value).conversations(studio.voices)
    batch = [to_messages(conversation, form) for conversation in conversations]
    for messages, conversation in zip(batch, conversations, strict=True):
        messages[0][NAMES] = [speaker.name for speaker in conversation.speakers]
    return json.dumps(batch if len(batch) > 1 else batch[0], indent=2, ensure_ascii=False)


def _import(studio: Studio, value: Any, file: str) -> tuple[Draft, list[str]]:
    """The draft that a file's messages stand for, and the recordings it names that are not here."""
    path = Path(file)
    if path.stat().st_size > MAX_IMPORT_BYTES:
        raise BadConversation("The file is larger than 1 MB; conversations are a few kB. Choose the JSON of one.")
    try:
        data = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError):
        raise BadConversation("The file is not JSON that can be read. Export it again where it comes from.") from None
    several = isinstance(data, list) and bool(data) and all(isinstance(item, list) for item in data)
    batch = data if several else [data]
    known = _voices_by_file_name(studio, value)
    read = [_named(from_messages(item, lambda name: _reference(known, name)), item) for item in batch]
    if any(conversation.speakers != read[0].speakers for conversation in read):
        raise BadConversation("The conversations of the file have different casts. Import them one by one.")
    references = [speaker.voice.reference for speaker in read[0].speakers]
    ids = [known[item.file_name].id if item and item.file_name in known else "" for item in references]
    drafts = [draft_of(conversation, ids) for conversation in read]
    rows = [row for draft in drafts for row in (None, *draft.rows)][1:]
    missing = [item.file_name for item in references if item and item.audio is None]
    return replace(drafts[0], rows=tuple(rows)), missing


def _reference(known: Mapping[str, LibraryVoice], file_name: str) -> Reference | None:
    return known[file_name].reference if file_name in known else None


def _named(conversation: Conversation, messages: Any) -> Conversation:
    """The conversation with the names that our own exports write beside the system text."""
    names = messages[0].get(NAMES) if isinstance(messages, list) else None
    if not isinstance(names, list) or len(names) != len(conversation.speakers):
        return conversation
    named = zip(conversation.speakers, names, strict=True)
    speakers = tuple(replace(speaker, name=str(name)[:MAX_NAME_CHARACTERS]) for speaker, name in named)
    return replace(conversation, speakers=speakers)


def _voices_by_file_name(studio: Studio, value: Any) -> dict[str, LibraryVoice]:
    """Bundled voices and the visitor's own, by the name of their recording."""
    voices = list(studio.voices.bundled.values())
    for voice_id in own_ids(value):
        try:
            voices.append(studio.voices.find(voice_id))
        except BadConversation:
            continue
    return {voice.reference.file_name: voice for voice in voices}
