"""The left side of the lab: which sounds, through which codecs; and the run that compares them."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from studio.audio import Audio
from studio.errors import StudioError
from studio.lab.codemap import StoredCodes
from studio.lab.compare import Original, Result, coded, measured, same_bitrate
from studio.lab.metrics import MEASURES, QUICK, Reference, Score
from studio.ui.answers import answering
from studio.ui.comparison import POLL_SECONDS, WAITING, Running
from studio.ui.kept_clips import KeptClip, Made, original
from studio.ui.lab_desk import LabDesks
from studio.ui.measures import measure_table
from studio.ui.offers import CodecFamily, Codecs, Offer, offered
from studio.ui.sound_choice import SoundChoice, sound_choice
from studio.ui.studio import Studio
from studio.workspace import Workspace

AT_FIRST = {"higgs-2", "higgs-8", "xcodec2", "opus-6", "opus-24"}
PCM_BITS = 16
NOTHING_HEARD = (
    "Choose sounds and codecs and press Compare; some are chosen already. Original and every version appear here, to "
    "switch between while they play, with pictures of what each codec does."
)
NOTHING_MEASURED = (
    "Press Compare: each codec's bitrate, quality and speed appear here, at full band and limited to 16 kHz, as a "
    "chart and a table."
)

Data = dict[Any, Any]


@dataclass
class Run:
    """What one comparison has given so far."""

    total: int
    keys: tuple[str, ...]  # of the measures
    ladders: Mapping[int, str] = field(default_factory=dict)  # by id(codec), as the chart joins them
    clips: list[dict[str, Any]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)  # without their sounds
    measured: int = 0  # how many of them, from the first
    originals: list[Original] = field(default_factory=list)  # of the clips that are measured
    measuring_seconds: float = 0.0

    @property
    def table(self) -> dict[str, Any]:
        """What was measured so far, as the page shows it."""
        return measure_table(self.results, self.measured, self.keys, self.ladders, NOTHING_MEASURED, self.originals)

    def leave_unmeasured(self) -> None:
        """Say of what was not measured why not, once nothing more comes."""
        scores = {key: Score(None, "stopped before it was measured") for key in self.keys}
        for index in range(self.measured, len(self.results)):
            self.results[index] = replace(self.results[index], scores=scores)
        self.measured = len(self.results)


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

            def shown(state: Data, busy: bool) -> Data:
                """Everything, each time: a view in a tab that was never opened keeps only the last it was sent."""
                table, tokens = run.table, [clip["token"] for clip in run.clips]
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
                yield shown(_progress(run, running), busy=True)
                last = (0, 0, True, False)
                for _ in running.given(POLL_SECONDS):
                    now = (len(run.results), run.measured, running.waiting, running.stopping)
                    if now != last:
                        last = now
                        yield shown(_progress(run, running), busy=True)
            finally:
                comparisons.finish(owner, running)
            ended = _ended(run, running, time.monotonic() - started)
            run.leave_unmeasured()
            yield shown(ended, busy=False)

        compared = self.go.click(
            run_comparison,
            inputs={*self.sound.inputs, *self.settings.values(), self.slow},
            outputs=filled,
            concurrency_limit=None,  # one after another by `Comparisons`, which can be stopped
            show_progress="hidden",
            api_visibility="private",
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
            token, kept = self.sound.desks.resumed(token)
            if not kept:
                return nothing | {desk: ""}
            chosen = set(kept.get("codecs", AT_FIRST))
            shown = nothing | {
                desk: token,
                self.slow: bool(kept.get("slow")),
                **{
                    self.settings[family.key]: [offer.key for offer in family.offers if offer.key in chosen]
                    for family in studio.codecs.families
                },
                **self.sound.again(studio, kept, project),
                bench: {"clips": kept["views"], "empty": NOTHING_HEARD, "desk": token},
            }
            if not kept["views"]:
                return shown
            compared = {measures: kept["measures"], blind: {"clips": kept["views"]}, clips: kept["clips"]}
            return shown | compared | {self.status: kept["said"]}

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


def work(
    codecs: Codecs,
    files: Workspace,
    sounds: Mapping[str, Audio],
    pairs: Sequence[tuple[CodecFamily, Offer]],
    run: Run,
) -> Generator[None, None, None]:
    """Fill a run, yielding whenever there is more in it: of each clip first all versions, then all measures.

    Each version is written down between two codecs, and measured when all are done, so that neither disturbs a
    codec's time.
    """
    settings = [offer.setting for _, offer in pairs]
    keys = [offer.key for _, offer in pairs]
    run.ladders = {id(setting.codec): family.title for (family, _), setting in zip(pairs, settings, strict=True)}
    for name, sound in sounds.items():
        kept = KeptClip(name, original(sound), files)
        run.clips.append(kept.view)
        versions: list[Result] = []
        try:
            outcomes = coded(name, sound, settings, codecs.run(sound, keys))
            for (family, _), result in zip(pairs, outcomes, strict=True):
                kept.add(_made(result, family))
                versions.append(result)
                run.results.append(result.without_sound)
                yield
        finally:  # stopped in the middle, too
            kept.match_levels()
        started = time.monotonic()
        reference = Reference(sound)
        for result in measured(reference, versions, run.keys):
            run.results[run.measured] = result.without_sound
            run.measured += 1
            run.measuring_seconds += time.monotonic() - started
            started = time.monotonic()
            yield
        run.originals.append(Original(name, sound.sample_rate, reference.own_scores(run.keys)))
        run.measuring_seconds += time.monotonic() - started


def _made(result: Result, family: CodecFamily) -> Made:
    facts = [("Bitrate", f"{result.encoded.bitrate_kbps:.3g} kbit/s")]
    codes = result.codes
    if codes:
        facts = [
            ("Codes", f"{codes.codebooks} × {codes.frames} frames"),
            ("Bitrate", f"{codes.bitrate_kbps:.3g} kbit/s nominal, {codes.entropy_kbps:.2f} by entropy"),
        ]
    pcm = result.audio.sample_rate * PCM_BITS / 1000
    facts += [
        ("Sample rate", f"{result.audio.sample_rate / 1000:g} kHz: up to {result.limited_to_khz:g} kHz of sound"),
        ("Level", f"{result.audio.rms_dbfs:.1f} dBFS"),
        ("Smaller than 16-bit PCM", f"{pcm / result.encoded.bitrate_kbps:.3g} times"),
        ("Speed", f"RTF {result.rtf:.3f}: {result.encode_ms:.0f} ms to encode, {result.decode_ms:.0f} to decode"),
    ]
    stored = StoredCodes(codes, result.setting.codec.name, family.revision) if codes else None
    return Made(result.setting.label, result.audio, facts, stored)


def _stop_word(running: Running) -> str:
    return "Stopping …" if running.stopping else "Stop"


def _progress(run: Run, running: Running) -> Data:
    done, measured_so_far = len(run.results), run.measured
    if running.stopping:
        text = "Stopping after this one …"
    elif running.waiting:
        text = WAITING
    elif not done:
        text = f"Comparing: the first of {run.total} …"
    elif done == run.total:
        text = f"All can be heard. Measuring: {measured_so_far} of {run.total} done"
    else:
        last = run.results[-1]
        text = f"Comparing: {done} of {run.total} done, last {last.setting.label} on {last.clip}"
    share = (done + measured_so_far) / (2 * run.total)
    return {"state": "running", "text": text, "share": share or None}


def _ended(run: Run, running: Running, seconds: float) -> Data:
    done, missing = len(run.results), len(run.results) - run.measured
    if running.problem:
        return {"state": "failed", "text": str(running.problem)}
    if running.stopping and (done < run.total or missing):
        unmeasured = f", {missing} of them not measured" if missing else ""
        return {"state": "done", "text": f"Stopped: {done} of {run.total} results were kept{unmeasured}."}
    results = f"{done} result{'' if done == 1 else 's'}"
    return {
        "state": "done",
        "text": f"Done: {results} in {seconds:.1f} s, {run.measuring_seconds:.1f} s of it measuring.",
    }
