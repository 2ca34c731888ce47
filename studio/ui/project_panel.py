"""The panel of the project: its title, its file out and in, and *Verify*.

`project_panel()` builds it, folded, inside the present layout. `connect(studio, store, editor, project)` makes it
work and returns the events after which another project is open: chain `.then(…)` to each to show its takes. `project`
is the `gr.State` whose value is the token of the visitor's project in `store`; `editor` is the script editor.
"""

import html
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import shown_name
from studio.errors import BadSetting, StudioError
from studio.project import MAX_TITLE_CHARACTERS, Project
from studio.project_file import ENDING, open_project, save_project
from studio.project_store import ProjectStore
from studio.text import clean, slug
from studio.ui.answers import told
from studio.ui.editor import read_draft
from studio.ui.export_panel import project_of
from studio.ui.handed_out import handed_out
from studio.ui.studio import Studio
from studio.ui.voice_panel import own_ids, voice_cards
from studio.verify import Check, Verdict, checks_of, verdicts

Data = dict[Any, Any]
REFRESH_SECONDS = 0.25
HEADS = ("Line", "Text", "Spoken again")


@dataclass(frozen=True)
class ProjectPanel:
    """The components of the panel."""

    fold: gr.Accordion
    title: gr.Textbox
    save: gr.Button
    opened: gr.UploadButton
    new: gr.Button
    back: gr.Button
    verify: gr.Button
    note: gr.HTML
    before: gr.State  # the token of the project that was open before

    def connect(self, studio: Studio, store: ProjectStore, editor: gr.HTML, project: Any) -> tuple[Any, ...]:
        """Make the panel work. Returns the events after which another project is open."""
        self._connect_title(store, project)
        self._connect_save(studio, store, editor, project)
        self._connect_verify(studio, store, project)

        def open_file(data: Data) -> Data:
            path = data[self.opened]
            try:
                if not path:
                    raise BadSetting("Choose a project file.")
                found = open_project(
                    Path(path), studio.voices, studio.codec, studio.codec_title, own=own_ids(data[editor])
                )
            except StudioError as problem:
                return {self.note: told(str(problem), wrong=True)}
            token = store.new(found.project)
            voices = [*own_ids(data[editor]), *found.added]
            name = found.project.title or shown_name(Path(path).name)
            words = f"“{name}” is open: {_count(len(found.project.takes), 'take')}."
            if found.added:
                words += f" {_count(len(found.added), 'voice')} of it joined yours."
            return {
                project: token,
                editor: {"draft": found.project.draft.as_json(), "voices": voice_cards(studio, voices)},
                self.title: found.project.title,
                self.before: data[project],
                self.back: gr.update(visible=bool(data[project])),
                self.note: told(words, wrong=False),
            }

        def go_back(data: Data) -> Data:
            try:
                found = project_of(store, data[self.before])
            except StudioError as problem:
                return {self.note: told(str(problem), wrong=True)}
            return {
                project: data[self.before],
                editor: {"draft": found.draft.as_json()},
                self.title: found.title,
                self.before: data[project],
                self.note: told("The project of before is open again.", wrong=False),
            }

        def begin_anew(data: Data) -> Data:
            words = "The next thing spoken begins a new project. The script is still here: change it, or load a preset."
            return {
                project: "",
                self.title: "",
                self.before: data[project],
                self.back: gr.update(visible=bool(data[project])),
                self.note: told(words, wrong=False),
            }

        outputs = [project, editor, self.title, self.before, self.back, self.note]
        opening = self.opened.upload(
            open_file,
            inputs={self.opened, editor, project},
            outputs=outputs,
            show_progress_on=[self.opened],
            api_visibility="private",
        )
        returning = self.back.click(
            go_back,
            inputs={self.before, project},
            outputs=outputs,
            show_progress="hidden",
            api_visibility="private",
        )
        beginning = self.new.click(
            begin_anew, inputs={project}, outputs=outputs, show_progress="hidden", api_visibility="private"
        )
        return opening, returning, beginning

    def _connect_title(self, store: ProjectStore, project: Any) -> None:
        def keep_title(data: Data) -> Data:
            title = _title(data[self.title])
            if not data[project]:
                return {self.note: gr.skip()}  # the project comes with the first thing spoken, or saved
            try:
                store.change(data[project], lambda one: one if one.title == title else replace(one, title=title))
            except StudioError as problem:
                return {self.note: told(str(problem), wrong=True)}
            return {self.note: gr.skip()}

        def show_title(data: Data) -> Data:
            typed = _title(data[self.title])
            try:
                kept = project_of(store, data[project]).title
                if typed and not kept:  # typed before there was a project to keep it
                    store.change(data[project], lambda one: replace(one, title=typed))
                    return {self.title: gr.skip()}
                return {self.title: kept}
            except StudioError:
                return {self.title: gr.skip()}

        for event in (project.change, self.fold.expand):  # what is sent to a panel that was never open is lost
            event(
                show_title,
                inputs={self.title, project},
                outputs=[self.title],
                show_progress="hidden",
                api_visibility="private",
            )
        self.title.input(
            keep_title,
            inputs={self.title, project},
            outputs=[self.note],
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
        )

    def _connect_save(self, studio: Studio, store: ProjectStore, editor: gr.HTML, project: Any) -> None:
        def save_file(data: Data) -> Data:
            try:
                draft = read_draft(data[editor])
                token = data[project] or store.new(Project(draft))
                title = _title(data[self.title])
                found = store.change(token, lambda kept: replace(kept.on_this_draft(draft), title=title))
                name = f"{slug(found.title, 'project')}{ENDING}"
                file = (
                    name,
                    lambda path: save_project(path, found, studio.voices, studio.codec, studio.codec_title),
                )
                words = "It opens to the same sound without generating again. Voices and their consent are in it."
                if studio.jobs.going(token):
                    words += " What is being spoken just now is not."
                return {self.note: handed_out(studio, [file], words), project: token}
            except StudioError as problem:
                return {self.note: told(str(problem), wrong=True)}

        self.save.click(
            save_file,
            inputs={project, editor, self.title},
            outputs=[self.note, project],
            show_progress_on=[self.save],
            api_visibility="private",
        )

    def _connect_verify(self, studio: Studio, store: ProjectStore, project: Any) -> None:
        def verify_takes(data: Data, request: gr.Request) -> Iterator[Data]:
            owner = request.session_hash or ""
            try:
                checks, found = checks_of(project_of(store, data[project]), studio.voices)
                for number, check in enumerate(checks, 1):
                    how_far = f"Speaking again, {number} of {len(checks)} …"
                    yield {self.note: _table(found, how_far)}
                    yield from self._follow(studio, owner, check, found, how_far)
            except StudioError as problem:
                yield {self.note: told(str(problem), wrong=True)}
                return
            if not found:
                yield {self.note: told("There is nothing to verify: no line has a take.", wrong=True)}
                return
            yield {self.note: _table(found, _summary(found))}

        self.verify.click(
            verify_takes,
            inputs={project},
            outputs=[self.note],
            concurrency_limit=None,  # the queue in front of the engine is ours
            show_progress="hidden",
            api_visibility="private",
        )

    def _follow(self, studio: Studio, owner: str, check: Check, found: list[Verdict], how_far: str) -> Iterator[Data]:
        """Wait for one check and put its verdicts to those found."""
        job = studio.jobs.submit(owner, check.request)
        try:
            while not job.finished:
                job.wait(REFRESH_SECONDS)
                yield {self.note: _table(found, how_far)}
            if job.problem:
                raise job.problem
            found += verdicts(check, job.spoken)
        finally:
            studio.jobs.cancel(job)  # the page was closed: nobody waits for it any more


def project_panel() -> ProjectPanel:
    """Build the panel, folded."""
    with gr.Accordion("Project", open=False, elem_id="hs-project") as fold:
        title = gr.Textbox(
            label="Title", max_length=MAX_TITLE_CHARACTERS, placeholder="Names the files", elem_id="hs-project-title"
        )
        with gr.Row():
            save = gr.Button("Save project file", size="sm", min_width=120)
            opened = gr.UploadButton(
                "Open project file", file_types=[".zip"], size="sm", min_width=120, elem_id="hs-project-open"
            )
            new = gr.Button("New project", size="sm", min_width=120)
            verify = gr.Button("Verify", size="sm", min_width=120)
        back = gr.Button("Back to the project before", size="sm", visible=False)
        note = gr.HTML(visible=False, apply_default_css=False, elem_id="hs-project-note")
        gr.Markdown(
            "Every change is kept as you make it. *Verify* speaks each take again with its seed and compares codes. "
            "A line that hears others is given those heard now, so it may differ where other takes stood there before."
        )
    return ProjectPanel(fold, title, save, opened, new, back, verify, note, gr.State(""))


def _title(typed: str | None) -> str:
    return " ".join(clean(typed or "").split())[:MAX_TITLE_CHARACTERS]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _summary(found: list[Verdict]) -> str:
    same, differ = sum(one.same is True for one in found), sum(one.same is False for one in found)
    unchecked = len(found) - same - differ
    words = f"{same} of {_count(same + differ, 'take')} came out the same."
    return f"{words} {unchecked} not checked." if unchecked else words


def _table(found: list[Verdict], words: str) -> Any:
    """What is known so far, as a table that is plain text in every cell."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    kinds = {True: "same", False: "differs", None: "unchecked"}
    rows = "".join(
        f'<tr class="hs-{kinds[one.same]}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in one.row) + "</tr>"
        for one in sorted(found, key=lambda one: one.lines)
    )
    table = f'<table class="hs-table hs-verdicts"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    table = f'<div class="hs-scroll">{table}</div>' if rows else ""
    return gr.update(value=f'<p class="hs-notice" role="status">{html.escape(words)}</p>{table}', visible=True)
