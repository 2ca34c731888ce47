"""The panel that takes a script from a file: text, subtitles, a table, a Word document.

`import_panel()` builds it, folded, inside the present layout. `connect(studio, store, editor, project)` makes it
work: the script is replaced (Undo brings it back), gaps go to the project that `project` names in `store`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import BadSetting, StudioError
from studio.project import Project
from studio.project_store import ProjectStore
from studio.script_files.reading import KINDS, ScriptFile, read_script_file
from studio.ui.answers import told
from studio.ui.editor import shown_draft
from studio.ui.studio import Studio

Data = dict[Any, Any]


@dataclass(frozen=True)
class ImportPanel:
    """The components of the panel."""

    upload: gr.UploadButton
    gaps: gr.Checkbox
    note: gr.HTML

    def connect(self, studio: Studio, store: ProjectStore, editor: gr.HTML, project: Any) -> Any:
        """Let an upload replace the script. Returns the event after which the project has its gaps."""

        def import_script(data: Data) -> Data:
            try:
                if not data[self.upload]:
                    raise BadSetting("Choose a file.")
                path = Path(data[self.upload])
                read = read_script_file(path, shown_draft(data[editor]), with_gaps=bool(data[self.gaps]))
                token = data[project]
                if read.gaps:
                    token = token or store.new(Project(read.draft))  # nothing may have been spoken yet
                    store.change(token, lambda one: with_gaps(one, read, studio.codec.frame_rate))
            except StudioError as problem:
                return {self.note: told(str(problem), wrong=True)}
            count = sum(row is not None for row in read.draft.rows)
            words = [
                f"{count} line{'' if count == 1 else 's'} in the script. Undo brings the old one back.",
                *read.notes,
            ]
            shown = told(" ".join(words), wrong=False)
            return {editor: {"draft": read.draft.as_json()}, self.note: shown, project: token}

        return self.upload.upload(
            import_script,
            inputs={self.upload, self.gaps, editor, project},
            outputs=[editor, self.note, project],
            show_progress_on=[self.upload],
            api_visibility="private",
        )


def with_gaps(project: Project, read: ScriptFile, frame_rate: float) -> Project:
    """A project with the silence between lines that a file asks for."""
    for row, seconds in read.gaps.items():
        project = project.nudging(row, seconds, frame_rate)
    return project


def import_panel() -> ImportPanel:
    """Build the panel, folded."""
    with gr.Accordion("Import a script", open=False, elem_id="hs-import-script"):
        gr.Markdown(
            "Text or Word (`Alma: Good morning.`), subtitles (SRT, WebVTT), or a table (CSV) with the columns speaker, "
            "text, and if you like seed and gap. Who is in the cast already keeps their voice."
        )
        gaps = gr.Checkbox(False, label="Take the gaps between lines from the times of subtitles")
        upload = gr.UploadButton(
            "Choose a script file", file_types=list(KINDS), elem_id="hs-import-script-file", size="sm"
        )
        note = gr.HTML(visible=False, elem_id="hs-import-script-note")
    return ImportPanel(upload, gaps, note)
