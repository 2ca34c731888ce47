"""The panel that speaks a table of conversations, one after another.

`batch_panel()` builds it, folded, inside the present layout. `connect(studio, editor)` makes it work: `editor` is
the script editor, which knows the visitor's own voices. The browser remembers which batch is theirs, so that it goes on
after a reload or a restart of the server.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import shown_name
from studio.batch_queue import REPORT, BatchItem, BatchProgress, batch_archive, finished, read_batch, run_batch
from studio.durable import write_durably
from studio.errors import BadSetting, StudioError
from studio.export.origin import Origin
from studio.export.sounds import FORMS, sound_form
from studio.sampling import Sampling
from studio.script_files.reading import decoded
from studio.speech import Progress, SpeechRequest, SpokenLines
from studio.text import slug
from studio.ui.answers import told
from studio.ui.editor import shown_draft
from studio.ui.handed_out import handed_out
from studio.ui.studio import Studio
from studio.ui.voice_panel import own_ids

Data = dict[Any, Any]
TABLE, NAME = "table.csv", "table-name.txt"
REFRESH_SECONDS = 0.25
REMEMBERED = "higgs-studio-batch"  # key in the browser; its value is worth nothing to anybody else
NOTHING = "Choose a table first."


@dataclass(frozen=True)
class BatchPanel:
    """The components of the panel."""

    fold: gr.Accordion
    upload: gr.UploadButton
    form: gr.Dropdown
    go: gr.Button
    stop: gr.Button
    note: gr.HTML
    batch: gr.BrowserState  # the token of the folder

    def connect(self, studio: Studio, editor: gr.HTML) -> None:
        """Let an upload begin a batch, and *Speak* go on with it."""

        def begin_batch(data: Data) -> Data:
            try:
                if not data[self.upload]:
                    raise BadSetting(NOTHING)
                path = Path(data[self.upload])
                name = shown_name(path.name)
                text, _ = decoded(path, name)
                items = _read(studio, text, data[editor])
                token, folder = studio.readings.make()
                write_durably(folder / TABLE, text.encode("utf-8", "replace"))
                write_durably(folder / NAME, name.encode("utf-8", "replace"))
            except StudioError as problem:
                return {self.note: told(str(problem), wrong=True)}
            return {self.batch: token, self.note: _standing(folder, items), self.go: gr.update(visible=True)}

        def batch_standing(data: Data) -> Data:
            try:
                folder, items = _opened(studio, data[self.batch], data[editor])
            except StudioError:
                return {self.note: gr.skip(), self.go: gr.skip()}
            return {self.note: _standing(folder, items), self.go: gr.update(visible=True)}

        def speak_batch(data: Data, request: gr.Request) -> Iterator[Data]:
            ready = {self.go: gr.update(visible=True), self.stop: gr.update(visible=False)}
            try:
                folder, items = _opened(studio, data[self.batch], data[editor])
                yield {self.go: gr.update(visible=False), self.stop: gr.update(visible=True)}
                for progress in self._run(studio, request.session_hash or "", folder, items, data[self.form]):
                    yield {self.note: told(_how_far(progress, studio.codec.frame_rate), wrong=False)}
                yield ready | {self.note: _files(studio, folder, items)}
            except StudioError as problem:
                yield ready | {self.note: told(str(problem), wrong=True)}

        self.upload.upload(
            begin_batch,
            inputs={self.upload, editor},
            outputs=[self.batch, self.note, self.go],
            show_progress_on=[self.upload],
            api_visibility="private",
        )
        running = self.go.click(
            speak_batch,
            inputs={self.batch, self.form, editor},
            outputs=[self.note, self.go, self.stop],
            concurrency_limit=None,  # the queue in front of the engine is ours
            show_progress="hidden",
            api_visibility="private",
        )
        standing: dict[str, Any] = {
            "fn": batch_standing,
            "inputs": {self.batch, editor},
            "outputs": [self.note, self.go],
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        self.stop.click(
            lambda: (gr.update(visible=True), gr.update(visible=False)),
            outputs=[self.go, self.stop],
            cancels=[running],
            show_progress="hidden",
            api_visibility="private",
        ).then(**standing)
        self.fold.expand(**standing)  # what is sent to a panel that was never open is lost

    def _run(
        self, studio: Studio, owner: str, folder: Path, items: list[BatchItem], form: str
    ) -> Iterator[BatchProgress]:
        def speak(request: SpeechRequest) -> Iterator[Progress | tuple[SpokenLines, ...]]:
            job = studio.jobs.submit(owner, request)
            try:
                while not job.finished:
                    job.wait(REFRESH_SECONDS)
                    if job.progress:
                        yield job.progress
                if job.problem:
                    raise job.problem
                yield job.spoken
            finally:
                studio.jobs.cancel(job)  # stopped, or the page was closed

        origin = Origin(codec=studio.codec_title, licence=studio.checkpoint_licence)
        yield from run_batch(folder, items, studio.voices, speak, Sampling(), sound_form(form), origin)


def batch_panel() -> BatchPanel:
    """Build the panel, folded."""
    with gr.Accordion("Batch", open=False, elem_id="hs-batch") as fold:
        gr.Markdown(
            "A table (CSV) of many conversations, with the columns conversation, speaker, text, and if you like voice "
            "(a name of the library, or `described: an old man`) and seed. Pauses and pronunciations hold here, "
            "too. Each is kept when it is done."
        )
        form = gr.Dropdown([(form.label, key) for key, form in FORMS.items()], value="wav24", label="Sound files")
        upload = gr.UploadButton("Choose a table", file_types=[".csv", ".tsv"], size="sm", elem_id="hs-batch-file")
        go = gr.Button("Speak what is missing", size="sm", visible=False)
        stop = gr.Button("Stop the batch", variant="stop", size="sm", visible=False)
        note = gr.HTML(visible=False, elem_id="hs-batch-note")
    batch = gr.BrowserState("", storage_key=REMEMBERED, secret=REMEMBERED)  # within the fold it would not be read
    return BatchPanel(fold, upload, form, go, stop, note, batch)


def _read(studio: Studio, text: str, page: Any) -> list[BatchItem]:
    """The conversations of a table, with the voices and the pronunciations of the page."""
    return read_batch(text, studio.voices, own_ids(page), shown_draft(page).pronunciations)


def _opened(studio: Studio, token: Any, page: Any) -> tuple[Path, list[BatchItem]]:
    """The folder of a batch and its conversations.

    Raises:
        StudioError: there is none, or a voice in it is gone.
    """
    folder = studio.readings.find(token) if isinstance(token, str) else None
    if folder is None or not (folder / TABLE).is_file():
        raise BadSetting(NOTHING)
    return folder, _read(studio, (folder / TABLE).read_text("utf-8"), page)


def _words(folder: Path, items: list[BatchItem]) -> str:
    name = (folder / NAME).read_text("utf-8")
    return f"“{name}”: {finished(folder, items)} of {len(items)} conversations are finished."


def _standing(folder: Path, items: list[BatchItem]) -> Any:
    return told(_words(folder, items), wrong=False)


def _how_far(progress: BatchProgress, frame_rate: float) -> str:
    words = f"{progress.done} of {progress.of} done"
    if progress.name:
        words += f"; speaking “{progress.name}”, {progress.frames / frame_rate:.1f} s so far"
    return f"{words}. {progress.failed} could not be spoken." if progress.failed else f"{words}."


def _files(studio: Studio, folder: Path, items: list[BatchItem]) -> Any:
    stem = slug(Path((folder / NAME).read_text("utf-8")).stem, "batch")
    return handed_out(
        studio,
        [
            (f"{stem}.zip", lambda path: batch_archive(path, folder, items)),
            (f"{stem}-report.csv", lambda path: _copied(folder / REPORT, path)),
        ],
        _words(folder, items),
    )


def _copied(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
