"""The panel that exports what is heard: mix, subtitles, labels, timeline, or all of it as one archive.

`export_panel()` builds it, folded, inside the present layout. `connect(studio, store, project)` makes it work:
`project` is the component whose value is the token of the visitor's project in `store`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import BadConversation, StudioError
from studio.export.bundle import NOTHING, mix_file, write_bundle
from studio.export.cues import as_labels, as_srt, as_vtt, cues_of
from studio.export.origin import Origin, voices_of
from studio.export.sounds import FORMS, SoundForm, sound_form
from studio.project import Project
from studio.project_store import GONE, ProjectStore
from studio.takes import Reading
from studio.text import slug
from studio.ui.answers import told
from studio.ui.handed_out import Maker, handed_out
from studio.ui.studio import Studio

Data = dict[Any, Any]
WHAT = {
    "all": "Everything (ZIP)",
    "mix": "The mix",
    "srt": "Subtitles (SRT)",
    "vtt": "Subtitles (WebVTT)",
    "labels": "Labels for Audacity",
    "timeline": "What made it, as JSON",
}
ALL = "Everything: the mix, a stem for each speaker, each line, subtitles, labels, and a page that plays it."
WITH_SOUND = ("all", "mix")


@dataclass(frozen=True)
class ExportPanel:
    """The components of the panel."""

    what: gr.Dropdown
    form: gr.Dropdown
    go: gr.Button
    files: gr.HTML

    def connect(self, studio: Studio, store: ProjectStore, project: Any) -> None:
        """Let *Export* write the project that `project` names and show the links."""

        def export_files(data: Data) -> Data:
            try:
                found = project_of(store, data[project])
                return {self.files: handed_out(studio, files_of(studio, found, data[self.what], data[self.form]))}
            except StudioError as problem:
                return {self.files: told(str(problem), wrong=True)}

        self.what.change(
            lambda what: gr.update(visible=what in WITH_SOUND),
            inputs=[self.what],
            outputs=[self.form],
            show_progress="hidden",
            api_visibility="private",
        )
        self.go.click(
            export_files,
            inputs={project, self.what, self.form},
            outputs=[self.files],
            show_progress_on=[self.go],
            api_visibility="private",
        )


def export_panel() -> ExportPanel:
    """Build the panel, folded."""
    with gr.Accordion("Export", open=False, elem_id="hs-export"):
        what = gr.Dropdown([(label, key) for key, label in WHAT.items()], value="all", label="What", info=ALL)
        form = gr.Dropdown(
            [(form.label, key) for key, form in FORMS.items()],
            value="wav24",
            label="Sound files",
            info="Every file says that the speech is synthetic, and what made it.",
        )
        go = gr.Button("Export", size="sm", elem_id="hs-export-go")
        files = gr.HTML(visible=False, elem_id="hs-export-files")
    return ExportPanel(what, form, go, files)


def project_of(store: ProjectStore, token: Any) -> Project:
    """The project that a page's component names.

    Raises:
        StudioError: there is none, or it is damaged.
    """
    found = store.load(token) if isinstance(token, str) and token else None
    if found is None:
        raise StudioError(GONE if token else NOTHING)
    return found


def files_of(studio: Studio, project: Project, what: str, form: str) -> list[Maker]:
    """The files of an export, one for each conversation where a kind of file holds only one.

    Raises:
        BadConversation: nothing has been spoken, or there is no such export.
    """
    readings = project.readings()
    if not readings:
        raise BadConversation(NOTHING)
    if what not in WHAT:
        raise BadConversation("Choose what to export.")
    origin = origin_of(studio, project)
    stem = slug(project.title, "conversation")
    chosen = sound_form(form)
    if what == "all":
        return [(f"{stem}.zip", lambda path: write_bundle(path, readings, chosen, origin))]
    ending, content = _content(what, chosen, origin)
    several = len(readings) > 1
    return [
        (f"{stem}-{number}{ending}" if several else f"{stem}{ending}", _writer(content, reading))
        for number, reading in enumerate(readings, 1)
    ]


def origin_of(studio: Studio, project: Project) -> Origin:
    """What is told about everything a project exports."""
    voices = voices_of(project.draft, studio.voices)
    return Origin(project.title, voices, studio.codec_title, studio.checkpoint_licence)


def _content(what: str, form: SoundForm, origin: Origin) -> tuple[str, Callable[[Reading], bytes]]:
    """The ending of a kind of file, and what makes it."""
    title = origin.title or "Conversation"
    kinds: dict[str, tuple[str, Callable[[Reading], bytes]]] = {
        "mix": (f".{form.ending}", lambda reading: mix_file(reading, form, origin)),
        "srt": (".srt", lambda reading: as_srt(cues_of(reading)).encode()),
        "vtt": (".vtt", lambda reading: as_vtt(cues_of(reading), origin.tags(reading, title)["comment"]).encode()),
        "labels": (".txt", lambda reading: as_labels(cues_of(reading)).encode()),
        "timeline": (".json", lambda reading: json.dumps(_facts(reading, origin), indent=1).encode()),
    }
    return kinds[what]


def _facts(reading: Reading, origin: Origin) -> dict[str, Any]:
    return reading.facts() | {"made_by": origin.as_json(reading)}


def _writer(content: Callable[[Reading], bytes], reading: Reading) -> Callable[[Path], None]:
    return lambda path: _write(path, content(reading))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
