"""The script editor: rows or plain script, kept in step. Its script is `editor.js`, which the cast shares."""

import sys
from dataclasses import replace
from typing import Any

import gradio as gr

from studio.conversation import Line
from studio.draft import Draft, Row, same_ids
from studio.errors import BadConversation, StudioError
from studio.script import UnknownSpeakers, parse_script, print_script
from studio.ui.studio import Studio, static
from studio.ui.voice_panel import own_cards, reference_sound, voice_cards


def script_editor(studio: Studio, draft: Draft) -> gr.HTML:
    """The script editor; its value is `{draft, script, own}`, see editor.js."""

    def parse_rows(asked: Any) -> dict[str, Any]:
        """Rows of a plain script, or what hinders reading it."""
        script, names = _asked(asked, "script", str, ""), _asked(asked, "names", list, [])
        try:
            parts = parse_script(script, [str(name) for name in names])
        except UnknownSpeakers as problem:
            return {"problem": str(problem), "unknown": list(problem.names)}
        except StudioError as problem:
            return {"problem": str(problem)}
        rows = [None if part is None else Row(part.speaker, part.text) for part in parts]
        return {"lines": [_json(row) for row in same_ids(rows, _rows(asked))]}

    def print_rows(asked: Any) -> str:
        """The plain script of rows."""
        names = _asked(asked, "names", list, [])
        lines = [None if row is None else Line(row.speaker, row.text) for row in _rows(asked)]
        return print_script(lines, [str(name) for name in names])

    def split_lines(asked: Any) -> dict[str, Any]:
        """The rows with those that are too long for the checkpoint cut up: all of them, or the one that is named."""
        try:
            draft = Draft.read({"lines": _asked(asked, "lines", list, [])})
            cut = draft.with_short_rows(studio.line_words or sys.maxsize, _asked(asked, "row", str, ""))
        except StudioError as problem:
            return {"problem": str(problem)}
        return {"lines": [_json(row) for row in cut.rows]}

    def own_voices(asked: Any) -> list[dict[str, Any]]:
        """Cards of the visitor's voices that are still here."""
        return own_cards(studio, _asked(asked, "ids", list, []))

    def hear_voice(asked: Any) -> dict[str, Any]:
        """Where the reference of a voice can be heard, or why it cannot."""
        try:
            return {"url": reference_sound(studio, _asked(asked, "id", str, ""))}
        except StudioError as problem:
            return {"problem": str(problem)}

    def sound_draft(asked: Any) -> dict[str, Any] | None:
        """A remembered draft as it is written today; None if it cannot be read."""
        try:
            return Draft.read(_asked(asked, "draft", dict, None)).as_json()
        except StudioError:
            return None

    return gr.HTML(
        {
            "first": True,
            "draft": draft.as_json(),
            "voices": voice_cards(studio, []),
            "line_words": studio.line_words,
        },
        html_template=static("script.html"),
        js_on_load="HiggsStudio.Editor.mountScript(element, props, trigger, watch, server);",
        server_functions=[parse_rows, print_rows, split_lines, own_voices, hear_voice, sound_draft],
        apply_default_css=False,
        elem_id="hs-editor",
    )


def _asked(asked: Any, key: str, kind: type, absent: Any) -> Any:
    """One part of what the script in the browser asks for; what is not as it should be counts as absent."""
    value = asked.get(key, absent) if isinstance(asked, dict) else absent
    return value if isinstance(value, kind) else absent


def _rows(asked: Any) -> tuple[Row | None, ...]:
    """The rows the script in the browser has now; none if they cannot be read."""
    try:
        return Draft.read({"lines": _asked(asked, "lines", list, [])}).rows
    except StudioError:
        return ()


def _json(row: Row | None) -> dict[str, Any]:
    return {"divider": True} if row is None else row.as_json()


def _numbered(parts: list[Line | None]) -> tuple[Row | None, ...]:
    """Rows whose place is the line of the script they begin in, so that messages name that line."""
    rows: list[Row | None] = []
    for part in parts:
        if part is None:
            rows.append(None)
        else:
            rows += [Row(0, "")] * (part.number - 1 - sum(row is not None for row in rows))
            rows.append(Row(part.speaker, part.text))
    return tuple(rows)


def shown_draft(value: Any) -> Draft:
    """The draft as the editor holds it, whatever is being typed into the plain script.

    Raises:
        BadConversation: the page has not finished loading.
        BadSetting: what came is no draft.
    """
    if not isinstance(value, dict) or "draft" not in value:
        raise BadConversation("The page has not finished loading. Try again in a moment.")
    return Draft.read(value["draft"])


def read_draft(value: Any) -> Draft:
    """The draft as the editor holds it; while the plain script is open, that is what counts.

    Raises:
        BadConversation: the plain script cannot be understood.
        BadSetting: what came is no draft.
    """
    draft = shown_draft(value)
    if isinstance(value.get("script"), str):
        rows = _numbered(parse_script(value["script"], draft.names))
        draft = replace(draft, rows=same_ids(rows, draft.rows))
    return draft
