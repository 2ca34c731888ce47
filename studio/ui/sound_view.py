"""The sound view: what was spoken, on one time axis, with its takes. Its scripts are `sound_view.js` and `takes.js`."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.ui.project_edits import ProjectEdits

Data = dict[str, Any]


def sound_view(empty: str, elem_id: str, edits: ProjectEdits) -> gr.HTML:
    """An empty sound view that shows the sentence `empty`; what is done in it becomes edits of its project."""

    def edit_project(asked: Any) -> Data:
        """Do an edit and show the project as it is then."""
        return _answer(asked, lambda token, page: {"view": edits.apply(token, page, asked.get("edit"))})

    def compare_takes(asked: Any) -> Data:
        """Two takes with their codes."""
        return _answer(asked, lambda token, page: edits.compare(token, asked.get("takes")))

    def who_spoke(asked: Any) -> Data:
        """Each line against every voice of the cast."""
        return _answer(asked, lambda token, page: edits.who_spoke(token))

    return gr.HTML(
        {"items": [], "empty": empty},
        html_template='<section class="hs-sound" aria-label="Result"></section>',
        js_on_load="HiggsStudio.mountSoundView(element, props, watch, server);",
        server_functions=[edit_project, compare_takes, who_spoke],
        apply_default_css=False,
        elem_id=elem_id,
    )


def _answer(asked: Any, act: Callable[[str, Any], Data]) -> Data:
    """What an act gives, or the sentence that says what hinders it."""
    if not isinstance(asked, dict) or not isinstance(asked.get("project"), str):
        return {"problem": "The page has not finished loading. Try again in a moment."}
    try:
        return act(asked["project"], asked.get("page"))
    except StudioError as problem:
        return {"problem": str(problem)}
