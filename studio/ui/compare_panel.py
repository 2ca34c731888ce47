"""The left side of the lab: which sounds, through which codecs; and the run that compares them."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from studio.audio import Audio
from studio.errors import StudioError
from studio.lab.codemap import StoredCodes
from studio.lab.compare import Result, compare, same_bitrate
from studio.lab.metrics import MEASURES, QUICK
from studio.ui.answers import answering
from studio.ui.comparison import Comparisons, Running
from studio.ui.kept_clips import KeptClip, Made, original
from studio.ui.measures import measured
from studio.ui.offers import CodecFamily, Offer, offered
from studio.ui.sound_choice import SoundChoice, sound_choice
from studio.ui.studio import Studio

POLL_SECONDS = 0.15
AT_FIRST = {"higgs-2", "higgs-8", "xcodec2", "opus-6", "opus-24"}
PCM_BITS = 16
NOTHING_HEARD = (
    "Choose sounds and codecs and press Compare. Original and every version appear here, to switch between while "
    "they play."
)
NOTHING_MEASURED = (
    "Press Compare: each codec's bitrate, speed and quality appear here, full band and limited to 16 kHz."
)

Data = dict[Any, Any]


@dataclass
class Run:
    """What one comparison has given so far."""

    total: int
    ladders: Mapping[int, str] = field(default_factory=dict)  # by id(codec), as the chart joins them
    clips: list[dict[str, Any]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


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
        comparisons = Comparisons()
        filled = [self.status, self.go, self.stop, bench, measures, blind, clips]

        def run_comparison(data: Data, request: gr.Request) -> Iterator[Data]:
            owner = request.session_hash or ""
            try:
                pairs = offered(studio.codecs, [key for group in self.settings.values() for key in data[group] or []])
                sounds = self.sound.chosen(studio, data)
            except StudioError as problem:
                yield {self.status: {"state": "failed", "text": str(problem)}}
                return
            keys = tuple(MEASURES) if data[self.slow] else QUICK
            run = Run(len(sounds) * len(pairs))
            running = comparisons.start(owner, lambda: _work(studio, sounds, pairs, keys, run))
            started = time.monotonic()

            def shown(state: Data, busy: bool) -> Data:
                """Everything, each time: a view in a tab that was never opened keeps only the last it was sent."""
                return {
                    self.status: state,
                    self.go: gr.update(interactive=not busy),
                    self.stop: gr.update(visible=busy, interactive=not running.stopping, value=_stop_word(running)),
                    bench: {"clips": deepcopy(run.clips), "empty": NOTHING_HEARD},  # Gradio looks for what changed
                    measures: measured(run.results, run.ladders, NOTHING_MEASURED),
                    blind: {"clips": [] if busy else run.clips},
                    clips: [] if busy else [clip["token"] for clip in run.clips],
                }

            try:
                yield shown(_progress(run, running), busy=True)
                last = (0, True, False)
                for _ in running.given(POLL_SECONDS):
                    now = (len(run.results), running.waiting, running.stopping)
                    if now != last:
                        last = now
                        yield shown(_progress(run, running), busy=True)
            finally:
                comparisons.finish(owner, running)
            yield shown(_ended(run, running, time.monotonic() - started), busy=False)

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
        self.sound.connect(studio)
        return compared


def compare_panel(studio: Studio, spoken: gr.JSON) -> ComparePanel:
    """Build the panel."""
    gr.HTML("<h2>1 · Sounds</h2>", elem_classes="hs-step", apply_default_css=False)
    sound = sound_choice(studio, spoken)
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
        for family in studio.codecs
    }
    slow = gr.Checkbox(False, label="Also PESQ and predicted MOS", info="Slower; PESQ up to 20 s of sound.")
    with gr.Row(elem_id="hs-lab-go"):
        go = gr.Button("Compare", variant="primary", elem_id="hs-lab-compare")
        stop = gr.Button("Stop", variant="stop", elem_id="hs-lab-stop", visible=False)
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
        keys = same_bitrate_keys(studio.codecs)
        return [[offer.key for offer in family.offers if offer.key in keys] for family in studio.codecs]

    same.click(choose_same, outputs=groups, show_progress="hidden", api_visibility="private")
    first = studio.codecs[0]
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


def _work(
    studio: Studio,
    sounds: Mapping[str, Audio],
    pairs: Sequence[tuple[CodecFamily, Offer]],
    keys: tuple[str, ...],
    run: Run,
) -> Generator[Result, None, None]:
    """Compare, and write each version down between two measurements, so that neither disturbs the other's timing."""
    settings = [offer.setting for _, offer in pairs]
    run.ladders = {id(setting.codec): family.title for (family, _), setting in zip(pairs, settings, strict=True)}
    families = {id(setting.codec): family for (family, _), setting in zip(pairs, settings, strict=True)}
    kept: KeptClip | None = None
    try:
        for result in compare(sounds, settings, keys):
            if kept is None or kept.view["name"] != result.clip:
                if kept:
                    kept.match_levels()
                kept = KeptClip(result.clip, original(sounds[result.clip]), studio.readings)
                run.clips.append(kept.view)
            kept.add(_made(result, families[id(result.setting.codec)]))
            run.results.append(result)
            yield result
    finally:  # stopped in the middle of a clip, too
        if kept:
            kept.match_levels()


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
    done = len(run.results)
    if running.stopping:
        text = "Stopping after this one …"
    elif running.waiting:
        text = "Waiting for another comparison to finish …"
    elif not done:
        text = f"Comparing: the first of {run.total} …"
    else:
        last = run.results[-1]
        text = f"Comparing: {done} of {run.total} done, last {last.setting.label} on {last.clip}"
    return {"state": "running", "text": text, "share": done / run.total if done else None}


def _ended(run: Run, running: Running, seconds: float) -> Data:
    done = len(run.results)
    if running.problem:
        return {"state": "failed", "text": str(running.problem)}
    if done < run.total:
        return {"state": "done", "text": f"Stopped: {done} of {run.total} results were kept."}
    return {"state": "done", "text": f"Done: {done} results in {seconds:.1f} s."}
