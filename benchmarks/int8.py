"""What 8-bit weights lose and win: `python -m benchmarks.int8`.

On the bundled checkpoint: lines of the presets are spoken greedily with whole weights, then both sides
are led through those very frames (teacher forcing). JSON on stdout.
"""

import json
import statistics
import time
from typing import Any

import torch

from benchmarks import decode
from benchmarks.decode import hardware, our_frame_ms
from benchmarks.workload import CLONED, LINE, MINI, REFERENCE_FRAMES, bundled_prompt, requests
from studio.engine.decoder import Decoder, Request
from studio.engine.kv_cache import KvCache, OwnLengths
from studio.engine.prefix_cache import stretches
from studio.presets import load_presets
from studio.sampling import Sampling

# isort: split
from transformers import HiggsAudioV2ForConditionalGeneration

LINES, MAX_FRAMES = 6, 80
BEGIN = 1024


def loaded(quantize: str) -> Decoder:
    """The bundled checkpoint."""
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(MINI, dtype=torch.float32).eval()
    return Decoder(model, quantize=quantize)


def forced_logits(decoder: Decoder, prompt: Any, rows: torch.Tensor) -> torch.Tensor:
    """Logits of each frame while led through `rows`, int64 [F, K]. Shape: [F, K, V]."""
    network = decoder._network
    shape = (len(network.layers), 1, 2 * network.key_heads, 512, network.head_dim)
    cache = KvCache(shape, network.dtype, network.device)
    network.cover(512)
    with torch.inference_mode():
        for stretch in stretches(prompt, (9, 11), 64):
            network.prefill(stretch, cache, 0)
        length = len(prompt.token_ids)
        logits = [
            network.step(row.unsqueeze(0), OwnLengths(cache, network.cos, network.sin, [length + number]))[0]
            for number, row in enumerate(rows)
        ]
    return torch.stack(logits)


def delayed_rows(values: torch.Tensor) -> torch.Tensor:
    """Codes [K, T] as the frames a decoder draws after the begin of stream: [T + 1, K], begins where none has begun."""
    codebooks, length = values.shape
    rows = torch.full((length + 1, codebooks), BEGIN)
    for k in range(codebooks):
        rows[k + 1 :, k] = values[k, : length - k]
    return rows


def compared(whole: Decoder, small: Decoder, prompt: Any) -> dict[str, float]:
    """One line, both sides led through what whole weights say."""
    request = Request(prompt, Sampling(seed=1), MAX_FRAMES)
    values = list(whole.decode([request]))[-1].finished[0].values
    rows = delayed_rows(torch.from_numpy(values))
    a, b = (forced_logits(decoder, prompt, rows[:-1]) for decoder in (whole, small))
    said = rows[1:].clamp(max=BEGIN - 1)
    begun = rows[1:] < BEGIN
    likelihoods = [side.log_softmax(-1).gather(-1, said.unsqueeze(-1)).squeeze(-1)[begun] for side in (a, b)]
    return {
        "frames": len(said),
        "relative logit error": float((a - b).norm() / a.norm()),
        "same likeliest code": float((a.argmax(-1) == b.argmax(-1))[begun].float().mean()),
        "nats lost per code": float((likelihoods[0] - likelihoods[1]).mean()),
    }


def weight_bytes(decoder: Decoder, quantize: str) -> int:
    """Bytes of the matrices a frame reads."""
    network = decoder._network
    attended, keys = network.query_heads * network.head_dim, network.key_heads * network.head_dim
    hidden, inner = network.hidden_size, network.intermediate_size
    weights = len(network.layers) * (hidden * (2 * attended + 2 * keys) + 3 * hidden * inner)
    outputs = len(network.layers) * (attended + 2 * keys + 2 * hidden + 2 * inner)
    head = network.num_codebooks * network.codebook_size
    return weights + hidden * head + 2 * (outputs + head) if quantize == "int8" else 2 * (weights + hidden * head)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    decode.clock = time.process_time
    before = hardware("cpu")
    whole, small = loaded("none"), loaded("int8")
    texts = [row.text for preset in load_presets().values() for row in preset.draft.rows if row][:LINES]
    lines = [compared(whole, small, bundled_prompt(CLONED.replace(LINE, text), REFERENCE_FRAMES)) for text in texts]
    prompt = bundled_prompt(CLONED, REFERENCE_FRAMES)
    speed: dict[str, list[float]] = {}
    for _ in range(5):
        for rows in (1, 8):
            for name, decoder in (("bfloat16", whole), ("int8", small)):
                speed.setdefault(f"{name}, batch {rows}", []).append(
                    our_frame_ms(decoder, requests(prompt, 40, rows), "cpu")
                )
    report = {
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "hardware": before,
        "mean of lines": {name: statistics.fmean(line[name] for line in lines) for name in lines[0]},
        "lines": lines,
        "ms_of_processor_time_per_frame": {name: statistics.median(values) for name, values in speed.items()},
        "bytes_per_frame": {"bfloat16": weight_bytes(whole, "none"), "int8": weight_bytes(small, "int8")},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
