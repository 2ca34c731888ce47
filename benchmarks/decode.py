"""Speed of the frame loop beside transformers' generate(), both in one process, both warm.

    python -m benchmarks.decode                                # the bundled checkpoint in float32, on the CPU
    python -m benchmarks.decode --growth                       # and how cost grows with prompt length and batch
    python -m benchmarks.decode --device cuda --random-3b      # the 3B architecture, random bfloat16 weights
    python -m benchmarks.decode --random-3b --tiny             # the same code at toy size, to know that it runs

JSON on stdout and, with --out, in a file. Every figure is a median. On the CPU rounds of both sides are interleaved
and each side gets the number of threads that suits it best, so that a busy machine weighs on both alike. Where others
use the machine, --cpu-time counts processor time of all threads instead of the clock on the wall.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

import studio.codecs  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split

from benchmarks.growth import LENGTHS, ROWS, draw, growth_table, markdown
from benchmarks.in_parts import measured_in_parts
from benchmarks.workload import (
    BUNDLED_VOCABULARY,
    CLONED,
    FIRST_SOUND_FRAMES,
    FRAME_RATE,
    FULL_VOCABULARY,
    PLAIN,
    REFERENCE_FRAMES,
    bundled,
    bundled_prompt,
    generate,
    random_3b,
    random_higgs,
    random_prompt,
    requests,
)
from studio.codecs.higgs import HiggsCodec
from studio.codecs.streaming import decode_between, reach_of
from studio.codes import Codes
from studio.engine.codec_windows import CodecWindows
from studio.engine.decoder import FRAMES_BETWEEN_LOOKS, Decoder, Request
from studio.engine.live_sound import BesideTheLoop
from studio.engine.memory import forget_peak_memory, peak_memory_bytes
from studio.engine.prompt import Prompt
from studio.sampling import Sampling

# --- timing -----------------------------------------------------------------------------------------------------------


BEGUN = time.perf_counter()  # after the imports
STOCK_FRAMES, STOCK_ROUNDS = 24, 2  # of generate() at full size, which takes seconds a round

clock = time.perf_counter  # or, with --cpu-time, time.process_time


def seconds(task: Callable[[], Any], device: str) -> float:
    """Time of one run."""
    wait(device)
    start = clock()
    task()
    wait(device)
    return clock() - start


def wait(device: str) -> None:
    """Let the device finish."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def their_frame_ms(model: Any, prompt: Prompt, frames: int, device: str) -> float:
    """One frame of generate(): a long run less a short one, so that the prompt does not count."""
    drawn = []
    short = seconds(lambda: drawn.append(len(generate(model, prompt, 8, device))), device)
    long = seconds(lambda: drawn.append(len(generate(model, prompt, 8 + frames, device))), device)
    return 1000 * (long - short) / (drawn[1] - drawn[0])


def our_frame_ms(decoder: Decoder, asked: list[Request], device: str) -> float:
    """One step of all rows, from the first report on to the first row that finishes."""
    decoding = decoder.decode(asked)
    next(decoding)
    wait(device)
    first, last, steps, before = 0.0, 0.0, 0, 0
    for progress in decoding:
        if progress.finished:
            break
        last = clock()  # a GPU reports several frames together: those of an unfinished report only
        steps += max(progress.frames) - before if before else 0
        first = first if before else last
        before = max(progress.frames)
    decoding.close()
    return 1000 * (last - first) / steps


def first_frames(decoder: Decoder, prompt: Prompt) -> None:
    """Decode until the first sound could be made."""
    for progress in decoder.decode(requests(prompt, FIRST_SOUND_FRAMES)):
        if progress.frames[0] >= FIRST_SOUND_FRAMES:
            return


def first_frames_ms(decoder: Decoder, prompt: Prompt, device: str) -> float:
    """Time until the codes of the first sound are on the host, whatever the device then still computes."""
    wait(device)
    start = clock()
    first_frames(decoder, prompt)
    return 1000 * (clock() - start)


class FirstAudio:
    """The first sound of a line as the studio streams it: frames, then a window of the codec beside further frames."""

    def __init__(self, codec: HiggsCodec) -> None:
        """It waits for all that a frame looks at: how much of that can be heard, random weights do not tell."""
        reach = reach_of(codec)
        self._codec, self._ahead = codec, reach.exact_frames
        self._windows = CodecWindows(codec, reach)
        self._beside = BesideTheLoop(codec.model.device)
        self.frames = self._ahead + 1

    def ms(self, decoder: Decoder, prompt: Prompt, device: str) -> float:
        """Time until its samples are on the host."""
        decoder.first_frames = self.frames
        wait(device)
        start = clock()
        for progress in decoder.decode(requests(prompt, 4 * self.frames)):
            if progress.frames[0] >= self.frames:
                codes = Codes(progress.values(0), self._codec.frame_rate, self._codec.codebook_size)
                given = codes, 0, codes.frames - self._ahead, self._ahead
                self._beside.run(decode_between, self._windows.decode, *given).result()
                return 1000 * (clock() - start)
        raise AssertionError("the line ended before its first sound")


def rounds_of(tasks: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median result of each task. Each runs once to warm up, then all take turns."""
    results: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            result = task()
            if turn:
                results[name].append(result)
    return {name: statistics.median(values) for name, values in results.items()}


def best_over_threads(tasks: dict[str, Callable[[], float]], rounds: int) -> dict[str, dict[str, float]]:
    """For each task its best median over one thread and all, and which that was."""
    found: dict[str, dict[str, float]] = {}
    for threads in sorted({1, os.cpu_count() or 1} if clock is time.perf_counter else {1}):
        torch.set_num_threads(threads)
        for name, value in rounds_of(tasks, rounds).items():
            if name not in found or value < found[name]["ms"]:
                found[name] = {"ms": value, "threads": threads}
    return found


# --- the bundled checkpoint on the CPU --------------------------------------------------------------------------------


def bundled_on_cpu(frames: int, rounds: int) -> dict[str, Any]:
    """Ours against transformers at batch 1, batch 8 against batch 1, and the first frames of a cloned line."""
    theirs, ours, cold = bundled(), Decoder(bundled()), Decoder(bundled(), prefix_bytes=0)
    plain, cloned = bundled_prompt(PLAIN), bundled_prompt(CLONED, REFERENCE_FRAMES)
    found = best_over_threads(
        {
            "generate, batch 1": lambda: their_frame_ms(theirs, plain, frames, "cpu"),
            "ours, batch 1": lambda: our_frame_ms(ours, requests(plain, frames), "cpu"),
            "ours, batch 8": lambda: our_frame_ms(ours, requests(plain, frames, 8), "cpu"),
            "generate, first frames": lambda: 1000 * seconds(lambda: generate(theirs, cloned, 16, "cpu"), "cpu"),
            "ours, first frames, cold voice": lambda: first_frames_ms(cold, cloned, "cpu"),
            "ours, first frames, warm voice": lambda: first_frames_ms(ours, cloned, "cpu"),
        },
        rounds,
    )
    ms = {name: result["ms"] for name, result in found.items()}
    torch.set_num_threads(1)
    return {
        "prompt_positions": {"line": len(plain.token_ids), "cloned line": len(cloned.token_ids)},
        "best": found,
        "ratios": {
            "frame, ours / generate (target <= 0.25)": ms["ours, batch 1"] / ms["generate, batch 1"],
            "frames per second, batch 8 / batch 1 (target >= 3)": 8 * ms["ours, batch 1"] / ms["ours, batch 8"],
            "first 8 frames of a cloned line, cold, ours / generate (target <= 1/3)": ms[
                "ours, first frames, cold voice"
            ]
            / ms["generate, first frames"],
        },
        "arithmetic": arithmetic_on_cpu(ours, len(plain.token_ids) + frames // 2, ms),
    }


def arithmetic_on_cpu(decoder: Decoder, positions: int, ms: dict[str, float]) -> dict[str, Any]:
    """What a frame must compute and read, and how long the products alone take."""
    network = decoder._network
    counts = parameters_per_frame(network)
    read = counts["weights"] * 2 + 2 * counts["kv per position"] * positions * 2  # bfloat16 weights, float32 KV

    def products(rows: int) -> float:
        x = {width: torch.randn(rows, width) for width in widths}
        return 1000 * seconds(lambda: [linear(x[width]) for linear, width in linears], "cpu")

    linears = list(linears_of(network))
    widths = {width for _, width in linears}
    buffer = torch.ones(read // 4)
    with torch.inference_mode():
        alone = rounds_of(
            {
                "batch 1": lambda: products(1),
                "batch 8": lambda: products(8),
                "read": lambda: 1000 * seconds(buffer.sum, "cpu"),
            },
            200,
        )
    return {
        "MFLOP per frame": round(2 * counts["weights"] / 1e6 + 4 * counts["kv per position"] * positions / 1e6, 1),
        "MB per frame": round(read / 1e6, 1),
        "ms to read as many bytes once": alone["read"],
        "ms in products, batch 1": alone["batch 1"],
        "ms in products, batch 8": alone["batch 8"],
        "share of a frame in products, batch 1": alone["batch 1"] / ms["ours, batch 1"],
        "share of a frame in products, batch 8": alone["batch 8"] / ms["ours, batch 8"],
    }


def linears_of(network: Any) -> Iterator[tuple[Any, int]]:
    """Every product of a frame with the width of what it takes."""
    attended = network.query_heads * network.head_dim
    for layer in network.layers:
        yield layer.qkv, network.hidden_size
        yield layer.out, attended
        yield layer.audio_mlp.gate_up, network.hidden_size
        yield layer.audio_mlp.down, network.intermediate_size
    yield network.head, network.hidden_size


def parameters_per_frame(network: Any) -> dict[str, int]:
    """Weights that one frame uses, and numbers of the KV cache for each position."""
    attended = network.query_heads * network.head_dim
    keys = network.key_heads * network.head_dim
    hidden, inner, layers = network.hidden_size, network.intermediate_size, len(network.layers)
    layer = hidden * (attended + 2 * keys) + attended * hidden + 3 * hidden * inner
    head = hidden * network.num_codebooks * network.codebook_size
    return {"weights": layers * layer + head, "kv per position": layers * keys}


def growth(
    decoder: Decoder,
    vocabulary: int,
    device: str,
    title: str,
    picture: Path | None,
    lengths: Sequence[int],
    batches: Sequence[int],
) -> list[dict[str, float]]:
    """Frames per second over prompt length and batch; the table also on stderr, and the picture if asked for."""
    # A GPU reports eight frames together, and a median wants several reports.
    frames = 48 if device.startswith("cuda") else 16
    table = growth_table(
        decoder, lambda length: random_prompt(vocabulary, length, 0), requests, clock, lengths, batches, frames
    )
    print(markdown(table), file=sys.stderr)
    if picture is not None:
        draw(table, title, picture)
    wait(device)
    return table


# --- the 3B architecture ----------------------------------------------------------------------------------------------


def random_weights(device: str, tiny: bool, frames: int, rounds: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """The most telling parts first. All but 8-bit weights take the same weights, one after another."""
    rate = bytes_per_ms(device, tiny)
    prompt = random_clone(tiny)
    weights = _Weights(device, tiny)
    stock: dict[str, float] = {}

    def beside_generate() -> dict[str, Any]:
        model = weights.stock()
        tasks = {
            "generate_ms_per_frame": lambda: their_frame_ms(model, prompt, STOCK_FRAMES, device),
            "generate_first_frames_ms": lambda: 1000 * seconds(lambda: generate(model, prompt, 16, device), device),
        }
        stock.update(rounds_of(tasks, STOCK_ROUNDS))
        return stock

    def batches(*rows: int, fused: bool | None = None) -> dict[str, Any]:
        decoder = weights.ours(max(8, *rows), fused)
        return measured_batches(decoder, prompt, rows, frames, rounds, device, rate)

    def one() -> dict[str, Any]:
        found = batches(1)
        ratio = stock["generate_ms_per_frame"] / found["batch 1"]["ms_per_frame"] if stock else None
        return found | {"fused": weights.ours()._network.fused, "generate_ms_per_frame / ours (target >= 10)": ratio}

    def first() -> dict[str, Any]:
        decoder = weights.ours()
        ms = rounds_of({"": lambda: first_frames_ms(decoder, prompt, device)}, rounds)[""]
        return {"first_frames_warm_voice_ms": ms, "peak_GB_loading_and_speaking": peak_memory_bytes(device) / 1e9}

    def first_audio() -> dict[str, Any]:
        decoder, audio = weights.ours(), FirstAudio(random_higgs(tiny, device))
        ms = rounds_of({"": lambda: audio.ms(decoder, prompt, device)}, rounds)[""]
        return {"first_audio_warm_voice_ms": ms, "first_audio_frames": audio.frames}

    def int8(fused: bool | None = None) -> dict[str, Any]:
        decoder = weights.small(fused)
        return {"ms_per_frame": rounds_of({"": lambda: our_frame_ms(decoder, asked, device)}, rounds)[""]}

    asked = requests(prompt, frames)
    # The same with torch's kernels, for comparison. On a CPU there are no others.
    plain: dict[str, Callable[[], dict[str, Any]]] = {
        "plain batch 1": lambda: {"plain batch 1": batches(1, fused=False)["batch 1"]},
        "plain batch 32": lambda: {"plain batch 32": batches(32, fused=False)["batch 32"]},
        "plain 8-bit weights": lambda: {"plain_int8_ms_per_frame": int8(fused=False)["ms_per_frame"]},
    }
    return {
        "memory": lambda: {"GB_per_s_read": rate / 1e6, "prompt_positions": len(prompt.token_ids)},
        "codes": lambda: {"greedy_codes_as_generate": same_codes(device, tiny)},
        "generate": beside_generate,
        "batch 1": one,
        "first frames and memory": first,
        "first audio": first_audio,
        "batch 8": lambda: batches(8),
        "batch 32": lambda: batches(32),
        "8-bit weights": lambda: {"int8_ms_per_frame": int8()["ms_per_frame"]},
        **(plain if device.startswith("cuda") else {}),
    }


class _Weights:
    """Random weights: with transformers until our decoder takes them over; one such model at a time."""

    def __init__(self, device: str, tiny: bool) -> None:
        self._how = device, tiny
        self._model: Any = None
        self._decoders: dict[str, Decoder] = {}

    def stock(self) -> Any:
        """The model of transformers."""
        self._model = random_3b(*self._how)
        return self._model

    def ours(self, slots: int = 8, fused: bool | None = None) -> Decoder:
        """Our decoder on the same weights; its peak of memory counts from when it takes them."""
        if "none" not in self._decoders:
            model = self._model or random_3b(*self._how)
            self._model = None
            forget_peak_memory(self._how[0])
            self._decoders["none"] = as_on_gpu(model, self._how[1])
        return _set(self._decoders["none"], slots, fused)

    def small(self, fused: bool | None) -> Decoder:
        """A decoder with 8-bit weights."""
        if "int8" not in self._decoders:
            self._decoders["int8"] = as_on_gpu(random_3b(*self._how), self._how[1], quantize="int8")
        return _set(self._decoders["int8"], 8, fused)


def _set(decoder: Decoder, slots: int, fused: bool | None) -> Decoder:
    """The same weights with other slots or kernels: what has been recorded is dropped."""
    decoder.slots = slots
    decoder.first_frames = FRAMES_BETWEEN_LOOKS
    decoder._idle_batch = None
    decoder._network.fuse(fused)
    gc.collect()
    return decoder


def same_codes(device: str, tiny: bool, **how: Any) -> bool:
    """Whether the bundled checkpoint says on this device, greedily and in a batch, what generate() says."""
    theirs, ours = bundled().to(device), as_on_gpu(bundled().to(device), tiny, **how)
    prompt = bundled_prompt(CLONED, REFERENCE_FRAMES)
    drawn = generate(theirs, prompt, 40, device, {"do_sample": False, "ras_win_len": None})[1:].cpu()
    codebooks = drawn.shape[1]
    length = len(drawn) - codebooks + 1
    expected = torch.stack([drawn[k : k + length, k] for k in range(codebooks)])
    request = Request(prompt, Sampling(temperature=0.0, ras_window=0), length)
    said = [
        codes
        for rows in (1, 3)  # one row has kernels of its own
        for progress in ours.decode([request] * rows)
        for codes in progress.finished.values()
    ]
    return all(bool((codes.values == expected.numpy()).all()) for codes in said)


def as_on_gpu(model: Any, tiny: bool, **how: Any) -> Decoder:
    """A decoder; at toy size on a CPU it takes the step that a GPU records."""
    return Decoder(model, fixed_shapes=True if tiny else None, **how)


def random_clone(tiny: bool) -> Prompt:
    """300 positions, a reference of four seconds among them."""
    return random_prompt(BUNDLED_VOCABULARY if tiny else FULL_VOCABULARY, 300, REFERENCE_FRAMES)


def measured_batches(
    decoder: Decoder, prompt: Prompt, batches: tuple[int, ...], frames: int, rounds: int, device: str, rate: float
) -> dict[str, dict[str, Any]]:
    """Time of a frame of 16-bit weights beside what reading weights, keys and values once takes."""
    counts, positions = parameters_per_frame(decoder._network), len(prompt.token_ids) + frames // 2
    found = {}
    for rows in batches:
        ms = rounds_of({"": lambda r=rows: our_frame_ms(decoder, requests(prompt, frames, r), device)}, rounds)[""]
        bound = 2 * (counts["weights"] + rows * 2 * counts["kv per position"] * positions) / rate
        found[f"batch {rows}"] = {
            "ms_per_frame": ms,
            "bound_ms": bound,
            "share_of_bound": bound / ms,
            "seconds_of_audio_per_second": rows * 1000 / ms / FRAME_RATE,
            "recorded": _recorded(decoder),
        }
    return found


def _recorded(decoder: Decoder) -> bool:
    """Whether the last decode replayed recorded steps. Never on a CPU."""
    graphs = None if decoder._idle_batch is None else decoder._idle_batch._graphs  # an idle batch is empty, so false
    return graphs is not None and not graphs._broken


def bytes_per_ms(device: str, tiny: bool) -> float:
    """How fast the device reads memory: a sum over what no cache holds."""
    buffer = torch.ones((1 if tiny else 2048) * 2**20, dtype=torch.bfloat16, device=device)
    return buffer.nbytes / rounds_of({"": lambda: 1000 * seconds(buffer.sum, device)}, 20)[""]


def hardware(device: str) -> dict[str, Any]:
    """What this ran on, and how busy the machine was."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        **({"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda} if device.startswith("cuda") else {}),
    }


def main() -> None:
    """Measure and print."""
    global clock  # noqa: PLW0603  one program, one clock
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--random-3b", action="store_true", help="random weights of the published size")
    parser.add_argument("--tiny", action="store_true", help="with --random-3b: toy size")
    parser.add_argument("--frames", type=int, default=100, help="frames of each timed run")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpu-time", action="store_true", help="on the CPU: processor time of all threads")
    parser.add_argument("--growth", action="store_true", help="also frames per second over prompt length and batch")
    parser.add_argument("--only-growth", action="store_true", help="nothing else")
    parser.add_argument("--lengths", type=_numbers, default=LENGTHS, help="of the prompts in growth: 100,900,3900")
    parser.add_argument("--rows", type=_numbers, default=ROWS, help="of the batches in growth: 1,8,32")
    parser.add_argument(
        "--limit", type=float, default=float("inf"), help="seconds after the imports, from which on no part is begun"
    )
    parser.add_argument("--picture", type=Path, help="where to draw growth, as SVG")
    parser.add_argument("--out", type=Path, help="a file for the JSON")
    chosen = parser.parse_args()
    if chosen.random_3b or chosen.only_growth:
        torch.set_num_threads(1)  # as the studio decodes on a CPU
    clock = time.process_time if chosen.cpu_time else time.perf_counter
    before = hardware(chosen.device)
    parts: dict[str, Callable[[], dict[str, Any]]] = {}
    if not chosen.only_growth:
        given = chosen.frames, chosen.rounds
        parts = (
            random_weights(chosen.device, chosen.tiny, *given)
            if chosen.random_3b
            else {"bundled": lambda: bundled_on_cpu(*given)}
        )
    if chosen.growth or chosen.only_growth:

        def grown() -> dict[str, Any]:
            model = random_3b(chosen.device, chosen.tiny) if chosen.random_3b else bundled()
            title = f"{before.get('gpu', before['cpu'])}, {'3B' if chosen.random_3b else 'bundled'} checkpoint's size"
            decoder = as_on_gpu(model, chosen.tiny, slots=max(chosen.rows))
            vocabulary = model.config.vocab_size
            table = growth(decoder, vocabulary, chosen.device, title, chosen.picture, chosen.lengths, chosen.rows)
            return {"growth": table}

        parts["growth"] = grown
    report = measured(parts, {"hardware": before}, chosen.out, chosen.limit)
    print(json.dumps(report, indent=2))
    if "failed" in report:
        sys.exit(1)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def measured(
    parts: dict[str, Callable[[], dict[str, Any]]], known: dict[str, Any], out: Path | None, limit: float = float("inf")
) -> dict[str, Any]:
    """All parts, with what they were measured on.

    Args:
        limit: seconds since the imports after which no further part is begun.
    """
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    command = "python -m benchmarks.decode " + " ".join(sys.argv[1:])
    report = {"command": command, "date": time.strftime("%Y-%m-%d"), "versions": versions} | known
    report["seconds"] = {"from the imports to the first part": round(time.perf_counter() - BEGUN, 1)}
    measured_in_parts(parts, report, out, begun=BEGUN, limit=limit)
    return report


if __name__ == "__main__":
    main()
