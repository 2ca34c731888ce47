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
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, HiggsAudioV2Config

import studio.codecs  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from transformers import HiggsAudioV2ForConditionalGeneration

from benchmarks.growth import ROWS, draw, growth_table, markdown
from studio.engine.decoder import Decoder, Request
from studio.engine.memory import forget_peak_memory, peak_memory_bytes
from studio.engine.prompt import Prompt
from studio.sampling import Sampling

MINI = Path(__file__).parent.parent / "assets" / "mini" / "higgs-audio-v2-mini"
FRAME_RATE = 25  # Hz
BUNDLED_VOCABULARY, FULL_VOCABULARY = 297, 128_256  # text tokens
FIRST_SOUND_FRAMES = 8
SAMPLING = Sampling()
THEIRS = {
    "do_sample": True,
    "temperature": SAMPLING.temperature,
    "top_k": SAMPLING.top_k,
    "top_p": SAMPLING.top_p,
    "ras_win_len": SAMPLING.ras_window,
    "ras_win_max_num_repeat": SAMPLING.ras_max_repeats,
}
LINE = "The sun rises in the east and sets in the west."
ROLE = "<|start_header_id|>{}<|end_header_id|>\n\n"
CLONED = (
    "<|begin_of_text|>" + ROLE.format("system") + "Generate audio following instruction.\n\n<|scene_desc_start|>\n"
    "Audio is recorded from a quiet room.\n\nSPEAKER0: <|audio_out_bos|>{audio}<|audio_eos|>\n<|scene_desc_end|>"
    "<|eot_id|>" + ROLE.format("user") + LINE + "<|eot_id|>" + ROLE.format("assistant") + "<|audio_out_bos|>"
)
PLAIN = CLONED.replace("\n\nSPEAKER0: <|audio_out_bos|>{audio}<|audio_eos|>", "")
REFERENCE_FRAMES = 100


# --- what is measured -------------------------------------------------------------------------------------------------


def bundled() -> HiggsAudioV2ForConditionalGeneration:
    """The bundled checkpoint in float32. Its end of stream weighs what codes weigh on average, so it does not come."""
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(MINI, dtype=torch.float32).eval()
    heads = model.audio_lm_head.weight.data.view(model.config.num_codebooks, model.config.codebook_size, -1)
    heads[:, model.config.audio_stream_eos_id] = heads.mean(1).bfloat16()
    return model


def random_3b(device: str, tiny: bool) -> HiggsAudioV2ForConditionalGeneration:
    """The published architecture with random weights: speed does not depend on their values."""
    sizes = (
        {"hidden_size": 192, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 6,
         "num_key_value_heads": 2, "head_dim": 32, "vocab_size": BUNDLED_VOCABULARY}
        if tiny
        else {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
              "num_key_value_heads": 8, "head_dim": 128, "vocab_size": FULL_VOCABULARY}
    )  # fmt: skip
    own_ids = json.loads((MINI / "config.json").read_text())
    ids = {name: own_ids[name] for name in own_ids if name.endswith("_token_id") or name.startswith("audio_stream")}
    config = HiggsAudioV2Config(**sizes, **ids, num_codebooks=8, codebook_size=1026, max_position_embeddings=8192)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = HiggsAudioV2ForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(before)
    heads = model.audio_lm_head.weight.data.view(config.num_codebooks, config.codebook_size, -1)
    heads[:, config.audio_stream_eos_id] = heads.mean(1)
    model.generation_config.ras_win_len = model.generation_config.ras_win_max_num_repeat = None  # THEIRS may set it
    return model


def bundled_prompt(template: str, frames: int = 0) -> Prompt:
    """A prompt in the bundled checkpoint's tokens, with a reference of `frames` random frames."""
    audio = "<|AUDIO_OUT|>" * (frames + 2) + "<|reserved_special_token_6|>" * 7
    text = template.format(audio=audio) if frames else template
    ids = AutoTokenizer.from_pretrained(MINI)(text, add_special_tokens=False, return_tensors="pt").input_ids[0]
    return Prompt(ids, delayed(frames))


def random_prompt(vocab_size: int, length: int, frames: int) -> Prompt:
    """A prompt of `length` positions, `frames` + 9 of them audio, in any vocabulary."""
    own_ids = json.loads((MINI / "config.json").read_text())
    rows = delayed(frames)
    ids = torch.randint(20, vocab_size, (length,), generator=torch.Generator().manual_seed(2))
    ids[10 : 10 + len(rows)] = own_ids["audio_token_id"]
    ids[-1] = own_ids["audio_bos_token_id"]
    return Prompt(ids, rows)


def delayed(frames: int) -> torch.Tensor:
    """Random frames in the delay pattern with begin and end, [frames + 9, 8]; none for 0."""
    if not frames:
        return torch.zeros(0, 8, dtype=torch.int64)
    rows = torch.full((frames + 9, 8), 1025)
    codes = torch.randint(0, 1024, (frames, 8), generator=torch.Generator().manual_seed(1))
    for k in range(8):
        rows[: k + 1, k] = 1024
        rows[k + 1 : k + 1 + frames, k] = codes[:, k]
    return rows


def generate(model: Any, prompt: Prompt, steps: int, device: str) -> int:
    """Let transformers speak. Returns how many frames it drew."""
    given = {"input_ids": prompt.token_ids[None].to(device)}
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    if len(prompt.audio_rows):
        given["audio_input_ids"] = prompt.audio_rows[None].to(device)
        given["audio_input_ids_mask"] = torch.ones(1, len(prompt.audio_rows), dtype=torch.bool, device=device)
    rows = model.generate(**given, **THEIRS, max_new_tokens=steps)
    return int(rows.shape[1]) - len(prompt.audio_rows)


def requests(prompt: Prompt, frames: int, rows: int = 1) -> list[Request]:
    """The same prompt with a seed for each row."""
    return [Request(prompt, SAMPLING.with_seed(seed), frames) for seed in range(rows)]


# --- timing -----------------------------------------------------------------------------------------------------------


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
    short = seconds(lambda: drawn.append(generate(model, prompt, 8, device)), device)
    long = seconds(lambda: drawn.append(generate(model, prompt, 8 + frames, device)), device)
    return 1000 * (long - short) / (drawn[1] - drawn[0])


def our_frame_ms(decoder: Decoder, asked: list[Request], device: str) -> float:
    """One step of all rows, from the first report on to the first row that finishes."""
    decoding = decoder.decode(asked)
    next(decoding)
    wait(device)
    start, before, steps = clock(), 0, 0
    for progress in decoding:
        if progress.finished:
            break
        steps += max(progress.frames) - before if before else 0
        start = start if before else clock()
        before = max(progress.frames)
    elapsed = clock() - start
    decoding.close()
    return 1000 * elapsed / steps


def first_frames(decoder: Decoder, prompt: Prompt) -> None:
    """Decode until the first sound could be made."""
    for progress in decoder.decode(requests(prompt, FIRST_SOUND_FRAMES)):
        if progress.frames[0] >= FIRST_SOUND_FRAMES:
            return


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
            "ours, first frames, cold voice": lambda: 1000 * seconds(lambda: first_frames(cold, cloned), "cpu"),
            "ours, first frames, warm voice": lambda: 1000 * seconds(lambda: first_frames(ours, cloned), "cpu"),
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


def growth(model: Any, device: str, title: str, picture: Path | None) -> list[dict[str, float]]:
    """Frames per second over prompt length and batch; the table also on stderr, and the picture if asked for."""
    vocabulary = model.config.vocab_size
    table = growth_table(
        Decoder(model, slots=max(ROWS)), lambda length: random_prompt(vocabulary, length, 0), requests, clock
    )
    print(markdown(table), file=sys.stderr)
    if picture is not None:
        draw(table, title, picture)
    wait(device)
    return table


# --- the 3B architecture ----------------------------------------------------------------------------------------------


def random_weights(device: str, tiny: bool, frames: int, rounds: int) -> dict[str, Any]:
    """Stock generate() and ours on the same weights; then, on weights alike, batch 32 and 8-bit weights."""
    rate = bytes_per_ms(device, tiny)
    found = beside_generate(device, tiny, frames, rounds, rate)
    decoder = Decoder(random_3b(device, tiny), slots=32)
    prompt = random_clone(tiny)
    found |= measured_batches(decoder, prompt, (32,), frames, rounds, device, rate)
    decoder = Decoder(random_3b(device, tiny), quantize="int8")
    found["int8_ms_per_frame"] = rounds_of(
        {"": lambda: our_frame_ms(decoder, requests(prompt, frames), device)}, rounds
    )[""]
    return {"GB_per_s_read": rate / 1e6, "prompt_positions": len(prompt.token_ids)} | found


def beside_generate(device: str, tiny: bool, frames: int, rounds: int, rate: float) -> dict[str, Any]:
    """Stock generate() first; then ours takes the same weights over, and the peak of its memory is noted."""
    model = random_3b(device, tiny)
    prompt = random_clone(tiny)
    stock = rounds_of(
        {
            "frame": lambda: their_frame_ms(model, prompt, frames, device),
            "first frames": lambda: 1000 * seconds(lambda: generate(model, prompt, 16, device), device),
        },
        rounds,
    )
    forget_peak_memory(device)
    decoder = Decoder(model)
    ours = measured_batches(decoder, prompt, (1, 8), frames, rounds, device, rate)
    first = rounds_of({"": lambda: 1000 * seconds(lambda: first_frames(decoder, prompt), device)}, rounds)[""]
    return {
        "generate_ms_per_frame": stock["frame"],
        "generate_first_frames_ms": stock["first frames"],
        **ours,
        "first_frames_warm_voice_ms": first,
        "peak_GB_loading_and_speaking": peak_memory_bytes(device) / 1e9,
        "ratios": {"frame, generate / ours (target >= 10)": stock["frame"] / ours["batch 1"]["ms_per_frame"]},
    }


def random_clone(tiny: bool) -> Prompt:
    """300 positions, a reference of four seconds among them."""
    return random_prompt(BUNDLED_VOCABULARY if tiny else FULL_VOCABULARY, 300, REFERENCE_FRAMES)


def measured_batches(
    decoder: Decoder, prompt: Prompt, batches: tuple[int, ...], frames: int, rounds: int, device: str, rate: float
) -> dict[str, dict[str, float]]:
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
        }
    return found


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
    parser.add_argument("--picture", type=Path, help="where to draw growth, as SVG")
    parser.add_argument("--out", type=Path, help="a file for the JSON")
    chosen = parser.parse_args()
    if chosen.random_3b or chosen.only_growth:
        torch.set_num_threads(1)  # as the studio decodes on a CPU
    clock = time.process_time if chosen.cpu_time else time.perf_counter
    before = hardware(chosen.device)
    measured: dict[str, Any] = {}
    if not chosen.only_growth:
        measured = (
            random_weights(chosen.device, chosen.tiny, chosen.frames, chosen.rounds)
            if chosen.random_3b
            else bundled_on_cpu(chosen.frames, chosen.rounds)
        )
    if chosen.growth or chosen.only_growth:
        model = random_3b(chosen.device, chosen.tiny) if chosen.random_3b else bundled()
        title = f"{before.get('gpu', before['cpu'])}, {'3B' if chosen.random_3b else 'bundled'} checkpoint's size"
        measured["growth"] = growth(model, chosen.device, title, chosen.picture)
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    command = "python -m benchmarks.decode " + " ".join(sys.argv[1:])
    report = {"command": command, "date": time.strftime("%Y-%m-%d"), "versions": versions}
    text = json.dumps(report | {"hardware": before} | measured, indent=2)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
