"""Tab *Conversation*: scene and cast, script, result."""

import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio.errors import BadSetting, GenerationFailed, StudioError
from studio.sampling import Sampling, fresh_seed
from studio.serve.jobs import Job
from studio.ui import status as says
from studio.ui.editor import read_draft, script_editor
from studio.ui.exchange import exchange_panel
from studio.ui.sound_view import keep_reading, kept_views, sound_view
from studio.ui.studio import Studio, static
from studio.ui.voice_panel import voice_panel

REFRESH_SECONDS = 0.12
REMEMBERED = 32  # readings a browser gets back after a reload
NOTHING_YET = "Nothing spoken yet. Press Generate, or Ctrl+Enter: the sound, its spectrogram and its codes appear here."

Data = dict[Any, Any]

log = logging.getLogger(__name__)


def conversation_tab(studio: Studio, page: gr.Blocks) -> gr.JSON:
    """Build the tab. Returns the component that holds the tokens of what has been spoken, newest first."""
    first = next(iter(studio.presets.values()))
    with gr.Row(elem_id="hs-workbench"):
        with gr.Column(elem_classes="hs-zone", min_width=280):
            preset = gr.Dropdown(
                [(item.title, key) for key, item in studio.presets.items()],
                value=None,
                label="Preset",
                info="A conversation to begin with. What it replaces comes back with Undo.",
            )
            gr.HTML(
                html_template=static("cast.html"),
                js_on_load="HiggsStudio.Editor.mountCast(element);",
                apply_default_css=False,
            )
            voice_parts = voice_panel()
        with gr.Column(elem_classes="hs-zone", min_width=340):
            editor = script_editor(studio, first.draft)
            with gr.Row(elem_id="hs-go"):
                generate = gr.Button("Generate", variant="primary", elem_id="hs-generate")
                stop = gr.Button("Stop", variant="stop", elem_id="hs-stop", visible=False)
            status = gr.HTML(
                {"state": "idle"},
                html_template='<div class="hs-status"></div>',
                js_on_load="HiggsStudio.mountStatus(element, props, watch);",
                apply_default_css=False,
            )
            dials, seed, keep_seed = _advanced(first.sampling)
            exchange_panel(studio, editor)
        with gr.Column(elem_classes="hs-zone hs-zone-result", min_width=340):
            sound = sound_view(NOTHING_YET, "hs-result")
    spoken = gr.JSON([], visible=False)

    voice_parts.connect(studio, editor)
    _connect_presets(studio, preset, editor, dials, seed, keep_seed)
    speak = _speaker(studio, editor, dials, seed, keep_seed, (status, generate, stop, sound, spoken))
    generate.click(
        speak,
        inputs={editor, seed, keep_seed, spoken, *dials.values()},
        outputs=[status, generate, stop, sound, seed, spoken],
        concurrency_limit=None,  # the queue in front of the engine is ours: this one would hide who waits
        show_progress="hidden",
        api_visibility="private",
    )

    def stop_all(request: gr.Request) -> Any:
        studio.jobs.stop(request.session_hash or "")
        return gr.update(interactive=False, value="Stopping …")

    stop.click(
        stop_all,
        outputs=[stop],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    page.load(
        lambda tokens: _remembered(studio, tokens),
        inputs=[spoken],
        outputs=[sound, spoken],
        js="() => [HiggsStudio.memory.read('readings') ?? []]",
        show_progress="hidden",
        api_visibility="private",
    )
    return spoken


def _advanced(sampling: Sampling) -> tuple[dict[str, gr.Slider], gr.Number, gr.Checkbox]:
    """The dials of `Sampling`, each made from its own default and range, and the seed."""
    with gr.Accordion("Advanced", open=False):
        with gr.Row(equal_height=True):
            seed = gr.Number(sampling.seed, label="Seed", precision=0, elem_id="hs-seed")
            keep_seed = gr.Checkbox(False, label="Keep this seed", info="The same seed gives the same speech.")
        dials = {
            dial.name: gr.Slider(
                dial.low, dial.high, getattr(sampling, dial.name), step=dial.step, label=dial.label, info=dial.help
            )
            for dial in Sampling.dials()
            if dial.name != "seed"
        }
    return dials, seed, keep_seed


def _connect_presets(
    studio: Studio,
    preset: gr.Dropdown,
    editor: gr.HTML,
    dials: dict[str, gr.Slider],
    seed: gr.Number,
    keep_seed: gr.Checkbox,
) -> None:
    """Let the preset menu fill in the script, the dials, and the seed where the preset has one."""

    def load(key: str | None) -> Data:
        if key is None or key not in studio.presets:
            return {}
        chosen = studio.presets[key]
        values = {dial: getattr(chosen.sampling, name) for name, dial in dials.items()}
        own_seed = {} if chosen.seed is None else {seed: chosen.seed, keep_seed: True}
        return values | own_seed | {editor: {"draft": chosen.draft.as_json()}}

    preset.input(
        load,
        inputs=[preset],
        outputs=[editor, seed, keep_seed, *dials.values()],
        show_progress="hidden",
        api_visibility="private",
    )


def _speaker(
    studio: Studio,
    editor: gr.HTML,
    dials: dict[str, gr.Slider],
    seed: gr.Number,
    keep_seed: gr.Checkbox,
    outputs: tuple[gr.HTML, gr.Button, gr.Button, gr.HTML, gr.JSON],
) -> Any:
    """The handler of *Generate*: queue a job, show how far it is, then what came of it."""
    status, generate, stop, sound, spoken = outputs

    def generate_readings(data: Data, request: gr.Request) -> Iterator[Data]:
        try:
            chosen = _sampling(data, dials, seed, keep_seed)
            draft = read_draft(data[editor])
            conversations = draft.conversations(studio.voices)
            job = studio.jobs.submit(request.session_hash or "", conversations, chosen, draft.way)
        except StudioError as problem:
            yield {status: says.refused(problem)}
            return
        ready = {generate: gr.update(interactive=True), stop: gr.update(visible=False)}
        try:
            yield {
                status: says.waiting(studio, job),
                seed: chosen.seed,
                generate: gr.update(interactive=False),
                stop: gr.update(visible=True, interactive=True, value="Stop"),
            }
            while not job.finished:
                job.wait(REFRESH_SECONDS)
                yield {status: says.running(job) if job.progress else says.waiting(studio, job)}
            if job.problem:
                yield ready | {status: says.failed(job)}
                return
            yield {status: says.drawing(job)}
            kept = [
                keep_reading(reading, _title(index, job), studio.readings) for index, reading in enumerate(job.readings)
            ]
            tokens = [token for token, _ in kept]
            remembered = [*tokens, *data[spoken]][:REMEMBERED]
            yield ready | {
                status: says.done(job, tokens),
                sound: {"mode": "choose", "items": [view for _, view in kept]},
                spoken: remembered,
            }
        except StudioError as problem:
            yield ready | {status: says.refused(problem)}
        except Exception:
            log.exception("a result could not be shown")
            yield ready | {status: says.refused(GenerationFailed("The result could not be shown; the log says why."))}
        finally:
            studio.jobs.cancel(job)  # the page was closed or reloaded: nobody waits for it any more

    return generate_readings


def _sampling(data: Data, dials: dict[str, gr.Slider], seed: gr.Number, keep_seed: gr.Checkbox) -> Sampling:
    chosen = Sampling.from_dict({name: data[dial] for name, dial in dials.items()})
    if not data[keep_seed]:
        return chosen.with_seed(fresh_seed())
    if data[seed] is None:
        raise BadSetting("Type the seed to keep, or untick “Keep this seed”.")
    return chosen.with_seed(data[seed])


def _title(index: int, job: Job) -> str:
    return "Conversation" if len(job.readings) == 1 else f"Conversation {index + 1}"


def _remembered(studio: Studio, tokens: Any) -> list[Any]:
    """What this browser spoke before a reload, as far as it is still here."""
    kept = kept_views(tokens[:REMEMBERED] if isinstance(tokens, list) else [], studio.readings)
    if not kept:
        return [gr.skip(), []]
    views = [view for _, view in kept]
    return [{"mode": "choose", "items": views, "empty": NOTHING_YET}, [token for token, _ in kept]]
