"""Tab *Conversation*: scene and cast, script, result."""

from typing import Any

import gradio as gr

from studio.ui.batch_panel import batch_panel
from studio.ui.desk import Desk
from studio.ui.dials import Dials, dials_panel
from studio.ui.editor import script_editor
from studio.ui.exchange import exchange_panel
from studio.ui.export_panel import export_panel
from studio.ui.import_panel import import_panel
from studio.ui.project_edits import ProjectEdits
from studio.ui.project_panel import project_panel
from studio.ui.sound_view import sound_view
from studio.ui.studio import Studio, static
from studio.ui.voice_panel import voice_panel

NOTHING_YET = "Nothing spoken yet. Press Generate, or Ctrl+Enter: the sound, its spectrogram and its codes appear here."

Data = dict[Any, Any]


def conversation_tab(studio: Studio, page: gr.Blocks) -> gr.Textbox:
    """Build the tab. Returns the component that holds the token of the open project."""
    first = next(iter(studio.presets.values()))
    edits = ProjectEdits(studio)
    with gr.Row(elem_id="hs-workbench"):
        with gr.Column(elem_classes="hs-zone", min_width=280):
            preset = gr.Dropdown(
                [("Choose one …", ""), *((item.title, key) for key, item in studio.presets.items())],
                value="",
                label="Preset",
                info="A conversation to begin with. What it replaces comes back with Undo.",
            )
            gr.HTML(
                html_template=static("cast.html"),
                js_on_load="HiggsStudio.Editor.mountCast(element);",
                apply_default_css=False,
            )
            voice_panel()
            gr.HTML(
                html_template=static("pronunciations.html"),
                js_on_load="HiggsStudio.Editor.mountPronunciations(element);",
                apply_default_css=False,
            )
        with gr.Column(elem_classes="hs-zone", min_width=340):
            editor = script_editor(studio, first.draft)
            with gr.Column(elem_id="hs-go"):  # stays in sight, and with it what came of pressing
                with gr.Row():
                    generate = gr.Button("Generate", variant="primary", elem_id="hs-generate")
                    changed = gr.Button("Speak what changed", elem_id="hs-speak-changed")
                    stop = gr.Button("Stop", variant="stop", elem_id="hs-stop", visible=False)
                status = _status(studio)
            listen = gr.Checkbox(True, label="Play while it is being spoken", container=False, elem_id="hs-listen")
            dials = dials_panel(first.sampling, listen)
            script_import = import_panel()
            exchange_panel(studio, editor)
            batch = batch_panel()
        with gr.Column(elem_classes="hs-zone hs-zone-result", min_width=340):
            sound = sound_view(NOTHING_YET, "hs-result", edits)
            export = export_panel()
            keeping = project_panel()
    project = gr.Textbox("", visible=False, label="Project")

    _connect_presets(studio, preset, editor, dials)
    desk = Desk(editor, status, generate, changed, stop, sound, project, dials, studio, edits)
    desk.connect(page)
    export.connect(studio, studio.projects, project)
    desk.show_after(script_import.connect(studio, studio.projects, editor, project))
    batch.connect(studio, editor)
    for another_is_open in keeping.connect(studio, studio.projects, editor, project):
        desk.show_after(another_is_open)
    return project


def _status(studio: Studio) -> gr.HTML:
    def stop_job(asked: Any) -> None:
        """Stop one job of the list; only who knows the project may."""
        wanted = asked if isinstance(asked, dict) else {}
        for job in studio.jobs.of(str(wanted.get("project", ""))):
            if job.id == wanted.get("job"):
                studio.jobs.cancel(job)

    return gr.HTML(
        {"state": "idle"},
        html_template='<div class="hs-status"></div>',
        js_on_load="HiggsStudio.mountStatus(element, props, watch, server, trigger);",
        server_functions=[stop_job],
        apply_default_css=False,
    )


def _connect_presets(studio: Studio, preset: gr.Dropdown, editor: gr.HTML, dials: Dials) -> None:
    """Let the preset menu fill in the script, the dials, and the seed where the preset has one."""

    def load(key: str) -> Data:
        if key not in studio.presets:
            return {editor: gr.skip()}
        chosen = studio.presets[key]
        values = {dial: getattr(chosen.sampling, name) for name, dial in dials.sampling.items()}
        own_seed = {} if chosen.seed is None else {dials.seed: chosen.seed, dials.keep_seed: True}
        return values | own_seed | {editor: {"draft": chosen.draft.as_json()}}

    preset.input(None, js="() => HiggsStudio.Editor.presetComes()", api_visibility="private")
    chosen = preset.input(
        load,
        inputs=[preset],
        outputs=[editor, dials.seed, dials.keep_seed, *dials.sampling.values()],
        show_progress="hidden",
        api_visibility="private",
    )
    chosen.then(None, js="() => HiggsStudio.Editor.presetCame()", api_visibility="private")
