"""The left side of the lab: which sounds, through which codecs; it starts what compares them, and finds it again."""

import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.lab.compare import same_bitrate
from studio.lab.metrics import MEASURES, QUICK
from studio.ui.answers import answering, told
from studio.ui.compare_run import Run, ended_words, progress, work
from studio.ui.comparison import POLL_SECONDS, Running
from studio.ui.lab_desk import LabDesks
from studio.ui.offers import CodecFamily, offered
from studio.ui.sound_choice import SoundChoice, sound_choice
from studio.ui.studio import Studio

AT_FIRST = {"higgs-2", "higgs-8", "xcodec2", "opus-6", "opus-24"}
NOTHING_HEARD = (
    "Choose sounds and codecs and press Compare; some are chosen already. Original and every version appear here, to "
    "switch between while they play, with pictures of what each codec does."
)

Data = dict[Any, Any]


@dataclass(frozen=True)
class ComparePanel:
    """The components of the panel."""

    sound: SoundChoice
    settings: Mapping[str, gr.CheckboxGroup]  # by family
    slow: gr.Checkbox
    go: gr.Button
    stop: gr.Button
    status: gr.HTML

    def connect(self, studio: Studio, bench: gr.HTML, measures: gr.HTML, blind: gr.HTML, clips: gr.State) -> Any:
        """Let *Compare* fill the bench, the table, the choice of the blind tests, and `clips` with their tokens.

        Returns:
            The event, for what is to follow it.
        """
        comparisons = studio.comparisons
        desk = self.sound.desk
        filled = [self.status, self.go, self.stop, bench, measures, blind, clips, desk]

        def run_comparison(data: Data, request: gr.Request) -> Iterator[Data]:
            owner = request.session_hash or ""
            keys = [key for group in self.settings.values() for key in data[group] or []]
            try:
                pairs = offered(studio.codecs.families, keys)
                sounds = self.sound.chosen(studio, data)
            except StudioError as problem:
                yield {self.status: {"state": "failed", "text": str(problem)}}
                return
            run = Run(len(sounds) * len(pairs), tuple(MEASURES) if data[self.slow] else QUICK)
            token = self.sound.desks.change(
                data[desk],
                own=data[self.sound.own],
                sounds=data[self.sound.sounds],
                codecs=keys,
                slow=data[self.slow],
            )
            running = comparisons.start(owner, lambda: work(studio.codecs, studio.readings, sounds, pairs, run))
            started = time.monotonic()

            def shown(state: Data, busy: bool, keep: bool = True) -> Data:
                """Everything, each time: a view in a tab that was never opened keeps only the last it was sent."""
                table, tokens = run.table, [clip["token"] for clip in run.clips]
                if keep:
                    self.sound.desks.change(token, clips=tokens, measures=table, said=state, busy=busy)
                return {
                    desk: token,
                    self.status: state,
                    self.go: gr.update(interactive=not busy),
                    self.stop: gr.update(visible=busy, interactive=not running.stopping, value=_stop_word(running)),
                    bench: {
                        "clips": deepcopy(run.clips),
                        "empty": NOTHING_HEARD,
                        "desk": token,
                    },  # a copy: Gradio compares
                    measures: table,
                    blind: {"clips": [] if busy else run.clips},
                    clips: [] if busy else tokens,
                }

            try:
                yield shown(progress(run, running), busy=True)
                last = (0, 0, 0, True, False)
                kept = (0, 0, 0)
                for _ in running.given(POLL_SECONDS):
                    done = len(run.results)
                    now = (done, run.measured, len(run.originals), running.waiting, running.stopping)
                    clip = (len(run.clips), done // len(pairs), len(run.originals))  # begun, can be heard, measured
                    if now != last:
                        yield shown(progress(run, running), busy=True, keep=clip != kept)
                        last, kept = now, clip
            finally:
                comparisons.finish(owner, running)
            said = ended_words(run, running, time.monotonic() - started)
            run.leave_unmeasured()
            yield shown(said, busy=False)

        compared = self.go.click(
            run_comparison,
            inputs={*self.sound.inputs, *self.settings.values(), self.slow},
            outputs=filled,
            concurrency_limit=None,  # one after another by `Comparisons`, which can be stopped
            show_progress="hidden",
            api_visibility="private",
        )

        self.go.click(  # what was said about a file is no news any more
            lambda: told("", wrong=False), outputs=self.sound.note, show_progress="hidden", api_visibility="private"
        )

        def stop_comparison(request: gr.Request) -> Any:
            comparisons.stop(request.session_hash or "")
            return gr.update(interactive=False, value="Stopping …")

        self.stop.click(
            stop_comparison, outputs=[self.stop], queue=False, show_progress="hidden", api_visibility="private"
        )
        return compared

    def resume(
        self, studio: Studio, page: gr.Blocks, bench: gr.HTML, measures: gr.HTML, blind: gr.HTML, clips: gr.State
    ) -> Any:
        """Let a page that is loaded again show what was chosen, and what came of the last comparison.

        Returns:
            The event, for what is to follow it.
        """
        desk = self.sound.desk

        def find_again(token: Any, project: Any) -> Data:
            nothing = {bench: {"clips": [], "empty": NOTHING_HEARD}, measures: Run(0, ()).table, blind: {"clips": []}}
            token, kept, views = self.sound.desks.resumed(token)
            if not token:
                return nothing | {desk: ""}
            chosen = AT_FIRST if kept.codecs is None else {*kept.codecs}
            shown = nothing | {
                desk: token,
                self.slow: kept.slow,
                **{
                    self.settings[family.key]: [offer.key for offer in family.offers if offer.key in chosen]
                    for family in studio.codecs.families
                },
                **self.sound.again(studio, kept, project),
                bench: {"clips": views, "empty": NOTHING_HEARD, "desk": token},
            }
            if not views:
                return shown
            compared = {measures: kept.measures, blind: {"clips": views}, clips: kept.clips}
            return shown | compared | {self.status: kept.said}

        return page.load(
            find_again,
            inputs=[desk, self.sound.project],
            outputs=[
                *(desk, self.slow, *self.settings.values(), self.sound.own, self.sound.sounds),
                *(self.status, bench, measures, blind, clips),
            ],
            js="() => [HiggsStudio.memory.read('lab') ?? '', HiggsStudio.memory.read('project') ?? '']",
            show_progress="hidden",
            api_visibility="private",
        )


def compare_panel(studio: Studio, project: gr.Textbox) -> ComparePanel:
    """Build the panel."""
    gr.HTML("<h2>1 · Sounds</h2>", elem_classes="hs-step", apply_default_css=False)
    sound = sound_choice(studio, project, LabDesks(studio.readings))
    with gr.Row(elem_classes="hs-step"):
        gr.HTML("<h2>2 · Codecs</h2>", apply_default_css=False)
        same = gr.Button("Same bitrate", size="sm", elem_id="hs-lab-same")
        ladder = gr.Button("Whole ladder", size="sm")
    settings = {
        family.key: gr.CheckboxGroup(
            [(offer.label, offer.key) for offer in family.offers],
            value=[offer.key for offer in family.offers if offer.key in AT_FIRST],
            label=family.title,
            info=family.about,
            elem_classes="hs-rungs",
            elem_id=f"hs-lab-{family.key}",
        )
        for family in studio.codecs.families
    }
    slow = gr.Checkbox(
        False, label="Also PESQ and predicted MOS", info="Slower. PESQ: up to 20 s of sound.", elem_id="hs-lab-slow"
    )
    with gr.Column(elem_id="hs-lab-go"):
        with gr.Row():
            go = gr.Button("Compare", variant="primary", elem_id="hs-lab-compare", min_width=100)
            stop = gr.Button("Stop", variant="stop", elem_id="hs-lab-stop", visible=False, min_width=100)
        status = gr.HTML(
            {"state": "idle"},
            html_template='<div class="hs-status"></div>',
            js_on_load="HiggsStudio.mountStatus(element, props, watch);",
            apply_default_css=False,
            elem_id="hs-lab-status",
        )
    groups = list(settings.values())

    @answering
    def choose_same() -> list[Any]:
        keys = same_bitrate_keys(studio.codecs.families)
        return [[offer.key for offer in family.offers if offer.key in keys] for family in studio.codecs.families]

    same.click(choose_same, outputs=groups, show_progress="hidden", api_visibility="private")
    first = studio.codecs.families[0]
    ladder.click(
        lambda: [offer.key for offer in first.offers],
        outputs=[settings[first.key]],
        show_progress="hidden",
        api_visibility="private",
    )
    return ComparePanel(sound, settings, slow, go, stop, status)


def same_bitrate_keys(families: Sequence[CodecFamily]) -> set[str]:
    """Higgs at the rung nearest to X-Codec2, X-Codec2, and Opus at its lowest; without X-Codec2, 3 codebooks."""
    by_key = {family.key: family for family in families}
    lowest = by_key["opus"].offers[0].key
    if "xcodec2" not in by_key:
        return {"higgs-3", lowest}
    ladder, fixed = by_key["higgs"].load(), by_key["xcodec2"].load()
    return {f"higgs-{same_bitrate(ladder, fixed)[0].codebooks}", "xcodec2", lowest}


def _stop_word(running: Running) -> str:
    return "Stopping …" if running.stopping else "Stop"
