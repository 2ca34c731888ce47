"""The desk: the components that speaking works on, and what happens when somebody asks for speech.

Every page that shows a project follows the project's jobs, whoever began them.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from studio.errors import GenerationFailed, StudioError
from studio.project import Project
from studio.serve.jobs import Job
from studio.ui import status as says
from studio.ui.dials import Dials
from studio.ui.editor import read_draft
from studio.ui.project_edits import ProjectEdits
from studio.ui.speaking import Followers, Wanted, begin
from studio.ui.studio import Studio

Data = dict[Any, Any]

NO_PROJECT: Data = {"items": [], "project": None, "begin": True}  # the next thing spoken begins one
QUIET: Data = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Desk:
    """The components, and the handlers that work on them."""

    editor: gr.HTML
    status: gr.HTML
    generate: gr.Button
    changed: gr.Button
    stop: gr.Button
    sound: gr.HTML
    project: gr.Textbox  # token of the project that is open
    dials: Dials
    studio: Studio
    edits: ProjectEdits
    followers: Followers = field(default_factory=Followers)

    def connect(self, page: gr.Blocks) -> None:
        """Let the buttons queue jobs, and the page follow them, also after a reload."""

        def speak_all(data: Data, request: gr.Request) -> Iterator[Data]:
            yield from self._speak(data, request, (), 0)

        def speak_changed(data: Data, request: gr.Request) -> Iterator[Data]:
            yield from self._speak(data, request, None, 0)

        def speak_some(data: Data, request: gr.Request, asked: gr.EventData) -> Iterator[Data]:
            yield from self._speak(data, request, [str(row) for row in asked.rows], int(asked.takes))

        given = {self.editor, self.project, *self.dials.components}
        shown = self._shown
        self.generate.click(speak_all, inputs=given, outputs=shown, **QUIET)
        self.changed.click(speak_changed, inputs=given, outputs=shown, **QUIET)
        self.editor.submit(speak_some, inputs=given, outputs=shown, trigger_mode="multiple", **QUIET)
        self.status.submit(self._resume, inputs=[self.project], outputs=shown, **QUIET)  # after a lost connection
        self.stop.click(self._stop, inputs=[self.project], outputs=[self.stop], queue=False, **QUIET)
        page.load(
            self._resume,
            inputs=[self.project],
            outputs=shown,
            js="() => [HiggsStudio.memory.read('project') ?? '']",
            **QUIET,
        )

    def show_after(self, event: Any) -> None:
        """Show the project that is open after an event: another one, or none yet.

        What is still spoken for the project of before is kept there; this page no longer follows it.
        """

        def show(token: str, request: gr.Request) -> Iterator[Data]:
            try:
                yield self._seen(token) or {self.sound: NO_PROJECT}
            except StudioError as problem:
                yield {self.status: says.refused(problem)}
                return
            yield from self._follow(token, request.session_hash or "")

        event.then(show, inputs=[self.project], outputs=self._shown, **QUIET)

    @property
    def _shown(self) -> list[Any]:
        """What following a project changes."""
        return [self.status, self.generate, self.stop, self.sound, self.dials.seed, self.project]

    def _speak(self, data: Data, request: gr.Request, rows: Sequence[str] | None, takes: int) -> Iterator[Data]:
        """Queue a job and follow it.

        Args:
            data: What the page holds.
            request: Whose page it is.
            rows: Ids of the rows to speak; none is all of them, and None those that changed.
            takes: Of each line; 0: as the dial says.
        """
        begun_for_this = ""
        try:
            sampling = self.dials.chosen(data)
            draft = read_draft(data[self.editor])
            token = data[self.project]
            kept = self.studio.projects.load(token) if token else None
            if kept is None:
                token = begun_for_this = self.studio.projects.new(Project(draft))
                kept = Project(draft)
            if rows is None:
                rows = sorted(kept.on_this_draft(draft).changed_rows())
            takes = takes or int(data[self.dials.takes])
            most_takes, stream = int(data[self.dials.most_takes]), bool(data[self.dials.listen])
            wanted = Wanted(draft, sampling, frozenset(rows), takes, most_takes, stream)
            job = begin(self.studio, token, wanted)
        except StudioError as problem:
            if begun_for_this:  # nothing came into it, and the page does not know it
                self.studio.projects.remove(begun_for_this)
            if self.studio.jobs.going(data[self.project]):
                gr.Warning(str(problem))  # the status line is taken: it tells of that, at every frame
                yield {self.status: gr.skip()}  # Gradio empties what it is told nothing about
            else:
                yield {self.status: says.refused(problem)}
            return
        yield {self.dials.seed: sampling.seed, self.project: token}
        yield from self._follow(token, request.session_hash or "", job)

    def _follow(self, token: str, page: str, begun: Job | None = None) -> Iterator[Data]:
        """Show how far the jobs of a project are until none is left, and what each gave."""
        try:
            for jobs, finished in self.followers.follow(self.studio, token, page, begun):
                left = [job for job in jobs if not job.finished]
                stopping = any(job.stopping for job in left)
                yield (self._seen(token) if finished else {}) | {
                    self.status: says.of_jobs(self.studio, jobs) | {"project": token},
                    self.generate: gr.update(interactive=not left),
                    self.stop: gr.update(
                        visible=bool(left), interactive=not stopping, value="Stopping …" if stopping else "Stop"
                    ),
                }
        except StudioError as problem:
            yield {self.status: says.refused(problem)}
        except Exception:
            log.exception("a result could not be shown")
            yield {self.status: says.refused(GenerationFailed("The result could not be shown; the log says why."))}

    def _seen(self, token: str) -> Data:
        """The project as it is now."""
        kept = self.studio.projects.load(token) if token else None
        return {} if kept is None else {self.sound: self.edits.view(token, kept)}

    def _resume(self, token: Any, request: gr.Request) -> Iterator[Data]:
        """Show the project this browser was at, and follow what is still going on in it."""
        try:
            seen = self._seen(token) if isinstance(token, str) else {}
        except StudioError as problem:  # its files are damaged; the next thing spoken begins another
            yield {self.project: "", self.sound: NO_PROJECT, self.status: says.refused(problem)}
            return
        if not seen:
            yield {self.project: ""}
            return
        yield {self.project: token} | seen
        if self.studio.jobs.of(token):
            yield from self._follow(token, request.session_hash or "")

    def _stop(self, token: str) -> Any:
        if token:
            self.studio.jobs.stop(token)
        return gr.update(interactive=False, value="Stopping …")
