"""Speed of the codecs, as ratios taken in one process, so that a busy machine weighs on both sides alike.

    python -m benchmarks.codecs                                   # the bundled checkpoints, on the CPU
    python -m benchmarks.codecs --device cuda --full-size         # random weights of the published sizes
    python -m benchmarks.codecs --full-size --tiny                # the same code at toy size, to know that it runs

JSON on stdout. Every figure is a median; rounds of what is compared are interleaved.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch, as app.py does

import numpy as np
import torch

import studio.codecs  # noqa: F401  it makes torchaudio importable, which transformers needs
from benchmarks.in_parts import measured_in_parts
from benchmarks.workload import built, random_higgs
from studio.audio import Audio, joined, read_wav
from studio.codecs.classic import Opus
from studio.codecs.higgs import HiggsCodec
from studio.codecs.streaming import decode_between, reach_of
from studio.codecs.xcodec2 import XCodec2
from studio.codes import Codes
from studio.engine.codec_windows import CodecWindows
from studio.engine.cuda_graph import recorded
from studio.lab.compare import bandwidths, compare
from studio.lab.metrics import MEASURES, QUICK

ASSETS = Path(__file__).parent.parent / "assets"
WINDOW_FRAMES = 64
BEGUN = time.perf_counter()  # after the imports


Clock = Callable[[], float]


def medians_ms(
    tasks: dict[str, Callable[[], Any]], rounds: int, device: str = "cpu", clock: Clock = time.perf_counter
) -> dict[str, float]:
    """Median milliseconds of each task. Each runs once to warm up, then all take turns."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            _wait(device)
            start = clock()
            task()
            _wait(device)
            if turn:
                times[name].append(1000 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def speech(seconds: float) -> Audio:
    """The bundled voices one after another, repeated as needed."""
    voices = joined([read_wav(path) for path in sorted((ASSETS / "voices").glob("*.flac"))])
    return joined([voices] * int(np.ceil(seconds / voices.duration_seconds))).between(0, seconds)


def ladder_ratio(higgs: HiggsCodec, rounds: int, clock: Clock) -> dict[str, float]:
    """30 s through all bandwidths, against one encode and one decode a bandwidth."""
    clip = speech(30)
    settings = bandwidths(higgs)
    codes = higgs.encode(clip)
    rungs = [codes.first_codebooks(setting.codebooks or 8) for setting in settings]

    def parts() -> None:
        higgs.encode(clip)
        for rung in rungs:
            higgs.decode(rung)

    ms = medians_ms(
        {"ladder": lambda: list(compare({"clip": clip}, settings, ())), "parts": parts}, rounds, clock=clock
    )
    return {**ms, "bandwidths": len(settings), "ratio": ms["ladder"] / ms["parts"]}


def batch_ratios(codec: HiggsCodec | XCodec2, seconds: float, rounds: int, clock: Clock) -> dict[str, float]:
    """8 equal clips one by one, against one batch."""
    clips = [speech(30).between(start, start + seconds) for start in np.linspace(0, 30 - seconds, 8)]
    codes = [codec.encode(clip) for clip in clips]
    ms = medians_ms(
        {
            "encode one by one": lambda: [codec.encode(clip) for clip in clips],
            "encode batch": lambda: codec.encode_batch(clips),
            "decode one by one": lambda: [codec.decode(one) for one in codes],
            "decode batch": lambda: codec.decode_batch(codes),
        },
        rounds,
        clock=clock,
    )
    return {
        **ms,
        "encode speed-up": ms["encode one by one"] / ms["encode batch"],
        "decode speed-up": ms["decode one by one"] / ms["decode batch"],
    }


def compare_ratio(higgs: HiggsCodec, xcodec2: XCodec2, rounds: int, clock: Clock) -> dict[str, Any]:
    """Three codecs on 10 s, as *Compare* on the page runs them, against the codecs alone.

    "until all can be heard" writes original and versions with levels and codes; "with quick measures" and "with all
    measures" go on until the last score. What the browser does of it is not in here.
    """
    from studio.lab_codecs import LabCodecs  # with these comes the page, which a GPU's codecs are measured without
    from studio.ui.compare_run import Run, work
    from studio.ui.offers import CodecFamily, Offer
    from studio.workspace import Workspace

    def family(key: str, codec: Any, codebooks: int | None = None) -> CodecFamily:
        return CodecFamily(key, codec.name, "", (Offer(key, "", lambda: codec, codebooks),))

    clip = {"clip": speech(10)}
    codecs = LabCodecs([family("higgs", higgs, 3), family("xcodec2", xcodec2), family("opus", Opus())])
    pairs = [(family, family.offers[0]) for family in codecs.families]

    def codecs_alone() -> None:
        for _, offer in pairs:
            setting = offer.setting
            encoded = setting.codec.encode(clip["clip"])
            setting.codec.decode(encoded if setting.codebooks is None else encoded.first_codebooks(setting.codebooks))

    def compared(keys: tuple[str, ...]) -> None:
        with TemporaryDirectory() as folder:
            list(work(codecs, Workspace(Path(folder)), clip, pairs, Run(len(pairs), keys)))

    ms = medians_ms(
        {
            "codecs alone": codecs_alone,
            "until all can be heard": lambda: compared(()),
            "with quick measures": lambda: compared(QUICK),
            "with all measures": lambda: compared(tuple(MEASURES)),
        },
        rounds,
        clock=clock,
    )
    return {**ms, **{f"ratio {name}": ms[name] / ms["codecs alone"] for name in list(ms)[1:]}}


def on_bundled_checkpoints(rounds: int, only: str | None = None, clock: Clock = time.perf_counter) -> dict[str, Any]:
    """The three ratios, with the bundled X-Codec2 or, where there is none, a random one of toy size.

    What compiling brings is measured only if asked for: it takes minutes.
    """
    higgs = HiggsCodec.load(ASSETS / "mini" / "higgs-audio-v2-tokenizer-mini")
    folder = ASSETS / "mini" / "xcodec2-mini"
    xcodec2 = XCodec2.load(folder) if folder.is_dir() else _random_xcodec2(tiny=True, device="cpu")
    report: dict[str, Any] = {"x-codec2": "bundled" if folder.is_dir() else "random, toy size"}
    if only in (None, "ladder"):
        report["all bandwidths of 30 s / (1 encode + 4 decodes)"] = ladder_ratio(higgs, rounds, clock)
    if only in (None, "batch"):
        report["batch of 8 / one by one"] = {
            f"{codec.name}, {seconds:g} s": batch_ratios(codec, seconds, rounds, clock)
            for codec in (higgs, xcodec2)
            for seconds in (0.5, 1.0, 3.0)
        }
    if only == "compile":
        report["decode a window of 64 frames (ms)"] = {
            codec.name: _window_ms(codec, 1, rounds, "cpu") for codec in (higgs, xcodec2)
        }
    if only in (None, "compare"):
        report["compare 3 codecs on 10 s / the codecs alone"] = compare_ratio(higgs, xcodec2, rounds, clock)
    return report


def _random_xcodec2(tiny: bool, device: str) -> XCodec2:
    """Random weights in the published shape: transformers' defaults."""
    from transformers import Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model

    small: dict[str, Any] = {
        "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 32, "encoder_hidden_size": 4, "quantization_dim": 96,
        "semantic_model_config": {
            "model_type": "wav2vec2-bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 64,
        },
    }  # fmt: skip
    config = Xcodec2Config(**(small if tiny else {}))
    return XCodec2(built(lambda: Xcodec2Model(config), device), Xcodec2FeatureExtractor())


def at_full_size(
    device: str,
    tiny: bool,
    rounds: int,
    seconds: float,
    known: dict[str, Any],
    out: Path | None,
    limit: float,
    compiled: bool,
) -> dict[str, Any]:
    """Round trips at batch 1 and 8, and the decode of a window of 64 frames: eager, as a CUDA graph, compiled.

    Args:
        known: what the report begins with.
        out: where the report is written after each part, if anywhere.
        limit: seconds since the imports after which no further part is begun; compiling comes last.
        compiled: measure what compiling brings, too: minutes on a CPU.
    """
    report = known | {"clip seconds": seconds, "window frames": WINDOW_FRAMES}
    codecs: dict[str, Any] = {}
    before: dict[str, int] = {}  # bytes that others held

    def window(name: str, batch: int, ways: tuple[str, ...]) -> None:
        found = _window_ms(codecs[name], batch, rounds, device, ways)
        old = report[name].setdefault(f"decode window, batch {batch} (ms)", {})
        for key, value in found.items():
            old[key] = old[key] | value if isinstance(value, dict) and key in old else value

    def build(name: str, make: Callable[[bool, str], Any]) -> None:
        if device.startswith("cuda"):
            before[name] = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        codecs[name] = make(tiny, device)
        report[name]["parameters"] = sum(weights.numel() for weights in codecs[name].model.parameters())

    def round_trip(name: str, batch: int) -> None:
        report[name][f"batch {batch}"] = _batch_rtf(codecs[name], batch, seconds, rounds, device)

    def stream_windows(name: str) -> None:
        report[name]["windows of a stream (ms)"] = _stream_windows_ms(codecs[name], rounds, device)

    def noting_memory(name: str, part: Callable[[], None]) -> None:
        try:
            part()
        finally:
            if device.startswith("cuda"):
                report[name]["peak memory (GiB)"] = (torch.cuda.max_memory_allocated() - before.get(name, 0)) / 2**30

    parts: dict[str, Callable[[], None]] = {}
    makers = {HiggsCodec.name: random_higgs, XCodec2.name: _random_xcodec2}
    quick = ("CUDA graph",) if device.startswith("cuda") else ()
    for name, make in makers.items():
        report[name] = {}
        its: dict[str, Callable[[], None]] = {"build": partial(build, name, make)}
        if name == HiggsCodec.name:
            its["windows of a stream"] = partial(stream_windows, name)
        for batch in (1, 8):
            its[f"window, batch {batch}"] = partial(window, name, batch, quick)
            its[f"round trip, batch {batch}"] = partial(round_trip, name, batch)
        parts |= {f"{name}, {part}": partial(noting_memory, name, task) for part, task in its.items()}
    if compiled:
        parts |= {f"{name}, compiled window": partial(window, name, 1, ("torch.compile",)) for name in makers}
    measured_in_parts(parts, report, out, begun=BEGUN, limit=limit)
    return report


def _batch_rtf(codec: HiggsCodec | XCodec2, batch: int, seconds: float, rounds: int, device: str) -> dict[str, float]:
    """Compute seconds over all the batch's audio seconds, from samples on the CPU and back."""
    clips = [speech(seconds)] * batch
    codes = codec.encode_batch(clips)
    ms = medians_ms(
        {"encode": lambda: codec.encode_batch(clips), "decode": lambda: codec.decode_batch(codes)}, rounds, device
    )
    return {f"{name} RTF": value / 1000 / (seconds * batch) for name, value in ms.items()}


def _window_ms(
    codec: HiggsCodec | XCodec2, batch: int, rounds: int, device: str, chosen: tuple[str, ...] = ("torch.compile",)
) -> dict[str, Any]:
    """The model's own decode on codes that are on the device already."""
    size, books = codec.codebook_size, codec.codebooks
    values = torch.randint(size, (batch, books, WINDOW_FRAMES), device=device)
    decode = codec.model.decode

    def eager(codes: torch.Tensor) -> torch.Tensor:
        samples: torch.Tensor = decode(codes).audio_values
        return samples

    tasks: dict[str, Callable[[], Any]] = {"eager": lambda: eager(values)}
    gaps: dict[str, float] = {}
    failed: dict[str, str] = {}
    prepared: dict[str, float] = {}
    with torch.inference_mode():
        expected = eager(values)
        ways: dict[str, Callable[[], Callable[[], torch.Tensor]]] = {
            "torch.compile": lambda: _compiled(eager, values),
            "CUDA graph": lambda: _graphed(eager, values),
        }
        for name in chosen:
            prepare = ways[name]
            start = time.perf_counter()
            try:
                task = prepare()
                prepared[name] = time.perf_counter() - start
                gaps[name] = float((task() - expected).abs().max() / expected.abs().max().clamp(min=1e-9))
                tasks[name] = task
            except Exception as problem:  # a benchmark reports what does not run, and goes on
                failed[name] = f"{type(problem).__name__}: {problem}"[:300]
        ms = medians_ms(tasks, 5 * rounds, device)
    return {
        **ms,
        "seconds to prepare": prepared,
        "largest relative gap to eager": gaps,
        **({"failed": failed} if failed else {}),
    }


def _stream_windows_ms(codec: HiggsCodec, rounds: int, device: str) -> dict[str, Any]:
    """As the studio decodes windows, codes on the host to samples on the host: with its recordings and without.

    The shortest window that anything can be kept of, which a recording is too long for, and one of 64 frames.
    """
    reach = reach_of(codec)
    began = time.perf_counter()
    windows = CodecWindows(codec, reach)
    found: dict[str, Any] = {"lengths recorded": windows.lengths, "seconds to record": time.perf_counter() - began}
    values = np.random.default_rng(0).integers(0, codec.codebook_size, (codec.codebooks, WINDOW_FRAMES))
    for frames in (reach.exact_frames + 1, WINDOW_FRAMES):
        codes = Codes(values[:, :frames], codec.frame_rate, codec.codebook_size)
        ways = {"codec": codec.decode, "studio": windows.decode}
        tasks = {
            name: partial(decode_between, decode, codes, 0, frames - reach.exact_frames, reach.exact_frames)
            for name, decode in ways.items()
        }
        eager, ours = (task().samples for task in tasks.values())
        gap = float(np.abs(eager - ours).max() / np.abs(eager).max())
        found[f"{frames} frames"] = medians_ms(tasks, 5 * rounds, device) | {"largest relative gap": gap}
    return found


def _compiled(eager: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor) -> Callable[[], torch.Tensor]:
    compiled = torch.compile(eager)
    compiled(values)
    return lambda: compiled(values)


def _graphed(eager: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor) -> Callable[[], torch.Tensor]:
    replay = recorded(eager, values)
    return lambda: replay(values)


def main() -> None:
    """Run, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="of the full-size mode")
    parser.add_argument("--full-size", action="store_true", help="random weights of the published sizes")
    parser.add_argument("--tiny", action="store_true", help="full-size mode at toy size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("ladder", "batch", "compare", "compile"), help="one of the ratios")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip in the full-size mode")
    parser.add_argument("--compile", action="store_true", help="full-size mode: torch.compile as well")
    parser.add_argument("--out", type=Path, help="full-size mode: a file for the JSON, written after each part")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds from which on no part is begun")
    parser.add_argument("--cpu-time", action="store_true", help="of all threads, where other programs keep cores busy")
    chosen = parser.parse_args()
    clock = time.process_time if chosen.cpu_time else time.perf_counter
    torch.manual_seed(0)
    machine = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if chosen.device.startswith("cuda") else "cpu",
        "rounds": chosen.rounds,
        "clock": "CPU time of all threads" if chosen.cpu_time else "wall",
    }
    if chosen.full_size:
        how = chosen.device, chosen.tiny, chosen.rounds, chosen.seconds
        report = at_full_size(*how, {"machine": machine}, chosen.out, chosen.limit, chosen.compile)
    else:
        report = {"machine": machine} | on_bundled_checkpoints(chosen.rounds, chosen.only, clock)
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
