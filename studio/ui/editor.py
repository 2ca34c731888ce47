"""The script editor: rows or plain script, kept in step. Its script is `editor.js`; the cast beside it shares its state."""

from dataclasses import replace
from typing import Any

import gradio as gr

from studio.conversation import Line
from studio.draft import Draft
from studio.errors import BadConversation, StudioError
from studio.script import parse_script, print_script
from studio.ui.studio import Studio, static
from studio.ui.voice_panel import own_cards


def script_editor(studio: Studio, draft: Draft) -> gr.HTML:
    """The script editor; its value is `{draft, script, own}`, see editor.js."""

    def parse(script: str, names: list[str]) -> dict[str, Any]:
        try:
            parts = parse_script(str(script), [str(name) for name in names])
        except StudioError as problem:
            return {"problem": str(problem)}
        return {"lines": [{"divider": True} if part is None else {"speaker": part.speaker, "text": part.text} for part in parts]}

    def print_rows(lines: list[dict[str, Any]], names: list[str]) -> str:
        rows = Draft.read({"lines": lines}).rows
        parts = [None if row is None else Line(*row) for row in rows]
        return print_script(parts, [str(name) for name in names])

    def own_voices(ids: list[str]) -> list[dict[str, Any]]:
        return own_cards(studio, ids)

    parse.__name__, print_rows.__name__ = "parse_script", "print_script"
    return gr.HTML(
        {"draft": draft.as_json(), "voices": [voice.card() for voice in studio.voices.bundled.values()]},
        html_template=static("script.html"),
        js_on_load="HiggsStudio.Editor.mountScript(element, props, trigger, watch, server);",
        server_functions=[parse, print_rows, own_voices],
        apply_default_css=False,
        elem_id="hs-editor",
    )


def read_draft(value: Any) -> Draft:
    """The draft as the editor holds it; while the plain script is open, that is what counts.

    Raises:
        BadConversation: the plain script cannot be understood.
        BadSetting: what came is no draft.
    """
    if not isinstance(value, dict) or "draft" not in value:
        raise BadConversation("The page has not finished loading. Try again in a moment.")
    draft = Draft.read(value["draft"])
    if isinstance(value.get("script"), str):
        names = [speaker["name"] or f"Speaker {number}" for number, speaker in enumerate(draft.speakers, 1)]
        parts = parse_script(value["script"], names)
        draft = replace(draft, rows=tuple(None if part is None else (part.speaker, part.text) for part in parts))
    return draft
