"""CPU kernels: what stands between the products of a frame, compiled for this machine.

A frame on the CPU is some forty products and, between them, work too small for torch: three quarters of
the time went into calls. Each kernel walks row by row, so the bits of a row cannot depend on the rows
beside it, nor on how many threads torch has. Compiled by Numba at the first start, then read from disk.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import torch

LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
LOWEST_EXPONENT = np.float32(-87.0)  # e^x stays a normal float32 above this

_Function = TypeVar("_Function", bound=Callable[..., Any])
# Sums may be taken in any order, but not finite numbers for granted. Divisions by zero give what IEEE says.
ARITHMETIC: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}


def compiled(function: _Function) -> _Function:
    """Compile at the first call, or take what an earlier process has compiled."""
    try:
        return numba.njit(cache=True, nogil=True, **ARITHMETIC)(function)
    except RuntimeError:  # no folder can be written: each process compiles anew
        return numba.njit(nogil=True, **ARITHMETIC)(function)


def inlined(function: _Function) -> _Function:
    """Compile into whatever calls it."""
    return numba.njit(inline="always", **ARITHMETIC)(function)


def prepare(say: Callable[[str], None] = lambda text: None) -> None:
    """Have every kernel compiled, so that nobody waits for it later.

    Args:
        say: Told what is waited for, where no earlier process has compiled them.
    """
    row = torch.ones(1, 4)
    table = torch.ones(1, 1, 4)
    yes = torch.ones(1, 1, dtype=torch.bool)
    kernel: Any = _rms_norm  # as Numba made it
    first = not kernel.signatures
    rms_norm(row, row[0], 1.0)
    if first and not kernel.stats.cache_hits:
        say("Compiling kernels for this processor: some ten seconds.")
    gated(row)
    attend(torch.ones(1, 3, 4), torch.zeros(1, 2, 1, 4), np.zeros(1, np.int64), table, table)
    draw_from_top(table, row[:, :1], table[..., :1], torch.zeros(1, 1, 1, dtype=torch.int64), table[..., :1], yes)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root mean square normalisation of each row. Shapes: float32 [M, H], [H] -> [M, H]."""
    normed = torch.empty_like(x)
    _rms_norm(x.numpy(), weight.numpy(), np.float32(eps), normed.numpy())
    return normed


def gated(gate_up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up. Shape: float32 [M, 2 * I] -> [M, I]."""
    product = torch.empty(len(gate_up), gate_up.shape[1] // 2)
    _gated(gate_up.numpy(), product.numpy())
    return product


def attend(
    heads: torch.Tensor, block: torch.Tensor, positions: np.ndarray, cos: torch.Tensor, sin: torch.Tensor
) -> torch.Tensor:
    """Rotate, store the keys and values of this step, and attend over each row's own positions.

    Args:
        heads: [S, query heads + 2 * key heads, D]: queries, keys, values.
        block: the layer's cache, [slots, 2 * key heads, capacity, D].
        positions: int64 [S]: where each row's new position is.
        cos: [capacity, 1, D].
        sin: [capacity, 1, D], negative in its first half.

    Returns:
        [S, query heads * D]
    """
    rows, count, head_dim = heads.shape
    attended = torch.empty(rows, count - block.shape[1], head_dim)
    _attend(heads.numpy(), block.numpy(), positions, cos.numpy(), sin.numpy(), attended.numpy())
    return attended.view(rows, -1)


def draw_from_top(
    logits: torch.Tensor,
    chances: torch.Tensor,
    temperature: torch.Tensor,
    top_k: torch.Tensor,
    top_p: torch.Tensor,
    wanted: torch.Tensor,
) -> torch.Tensor:
    """Draw a code for each row and codebook among its likeliest, within top-k and top-p.

    Args:
        logits: float32 [S, K, V].
        chances: float32 [S, K], evenly spread over 0 <= u < 1.
        temperature: float32 [S, 1, 1].
        top_k: int64 [S, 1, 1]: index of the last code kept; codes as likely as that one are kept too.
        top_p: float32 [S, 1, 1].
        wanted: bool [S, 1]: the others draw in some other way, and get 0 here.

    Returns:
        int64 [S, K]
    """
    drawn = torch.empty(logits.shape[:2], dtype=torch.int64)
    settings = temperature.numpy(), top_k.numpy(), top_p.numpy(), wanted.numpy()
    # Numba compiles anew for memory laid out in another way; the chances are a part of a larger tensor.
    _draw_from_top(logits.numpy(), chances.contiguous().numpy(), *settings, drawn.numpy())
    return drawn


@inlined
def _exp(x: np.float32) -> np.float32:
    """e^x for x <= 0 within two units in the last place (Moshier's Cephes, expf); a form that vectorises."""
    x = max(x, LOWEST_EXPONENT)
    whole = np.floor(x * LOG2_E + np.float32(0.5))
    x = x - whole * LN2_HIGH - whole * LN2_LOW
    power = np.float32(1.9875691500e-4)
    power = power * x + np.float32(1.3981999507e-3)
    power = power * x + np.float32(8.3334519073e-3)
    power = power * x + np.float32(4.1665795894e-2)
    power = power * x + np.float32(1.6666665459e-1)
    power = power * x + np.float32(5.0000001201e-1)
    power = power * x * x + x + np.float32(1.0)
    return power * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def _rms_norm(x: np.ndarray, weight: np.ndarray, eps: np.float32, normed: np.ndarray) -> None:
    width = x.shape[1]
    for row in range(x.shape[0]):
        squares = np.float32(0)
        for i in range(width):
            squares += x[row, i] * x[row, i]
        scale = np.float32(1) / np.float32(math.sqrt(squares / np.float32(width) + eps))
        for i in range(width):
            normed[row, i] = x[row, i] * scale * weight[i]


@compiled
def _gated(gate_up: np.ndarray, product: np.ndarray) -> None:
    width = product.shape[1]
    for row in range(product.shape[0]):
        for i in range(width):
            gate = gate_up[row, i]
            falling = _exp(-abs(gate))
            share = np.float32(1) / (np.float32(1) + falling)
            product[row, i] = gate * (share if gate >= 0 else falling * share) * gate_up[row, width + i]


@compiled
def _rotate(head: np.ndarray, cos: np.ndarray, sin: np.ndarray, factor: np.float32, rotated: np.ndarray) -> None:
    half = len(head) // 2
    for i in range(half):
        rotated[i] = factor * (head[i] * cos[i] + head[i + half] * sin[i])
        rotated[i + half] = factor * (head[i + half] * cos[i + half] + head[i] * sin[i + half])


@compiled
def _attend(
    heads: np.ndarray, block: np.ndarray, positions: np.ndarray, cos: np.ndarray, sin: np.ndarray, attended: np.ndarray
) -> None:
    rows, count, width = heads.shape
    key_heads = block.shape[1] // 2
    sharing = (count - 2 * key_heads) // key_heads  # queries of one key head
    scale = np.float32(1 / math.sqrt(width))
    query = np.empty(width, np.float32)
    scores = np.empty(block.shape[2], np.float32)
    for row in range(rows):
        last = positions[row]
        for head in range(key_heads):
            keys, values = block[row, head], block[row, key_heads + head]
            _rotate(heads[row, key_heads * sharing + head], cos[last, 0], sin[last, 0], np.float32(1), keys[last])
            for i in range(width):
                values[last, i] = heads[row, key_heads * (sharing + 1) + head, i]
            for number in range(head * sharing, (head + 1) * sharing):
                _rotate(heads[row, number], cos[last, 0], sin[last, 0], scale, query)
                _score(query, keys, last + 1, scores)
                total = _soften(scores, last + 1)
                _mix(values, scores, last + 1, total, attended[row, number])


@compiled
def _score(query: np.ndarray, keys: np.ndarray, length: int, scores: np.ndarray) -> None:
    """Scores: query . keys[j] for each j."""
    width = len(query)
    fours = length - length % 4
    for j in range(0, fours, 4):
        a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for i in range(width):
            a += query[i] * keys[j, i]
            b += query[i] * keys[j + 1, i]
            c += query[i] * keys[j + 2, i]
            d += query[i] * keys[j + 3, i]
        scores[j], scores[j + 1], scores[j + 2], scores[j + 3] = a, b, c, d
    for j in range(fours, length):
        a = np.float32(0)
        for i in range(width):
            a += query[i] * keys[j, i]
        scores[j] = a


@compiled
def _soften(scores: np.ndarray, length: int) -> np.float32:
    """e^(score - highest) in place. Returns their sum."""
    highest = scores[0]
    for j in range(length):
        highest = max(highest, scores[j])
    total = np.float32(0)
    for j in range(length):
        scores[j] = _exp(scores[j] - highest)
        total += scores[j]
    return total


@compiled
def _mix(values: np.ndarray, shares: np.ndarray, length: int, total: np.float32, mixed: np.ndarray) -> None:
    """Mixed: the sum of shares[j] * values[j], divided by their total."""
    width = values.shape[1]
    for i in range(width):
        mixed[i] = np.float32(0)
    fours = length - length % 4
    for j in range(0, fours, 4):
        a, b, c, d = shares[j], shares[j + 1], shares[j + 2], shares[j + 3]
        for i in range(width):
            mixed[i] += a * values[j, i] + b * values[j + 1, i] + c * values[j + 2, i] + d * values[j + 3, i]
    for j in range(fours, length):
        for i in range(width):
            mixed[i] += shares[j] * values[j, i]
    for i in range(width):
        mixed[i] /= total


BINS = 256
BINS_A_UNIT = np.float32(16)  # the likeliest code stands in bin 0, one e times less likely in bin 16


@compiled
def _draw_from_top(
    logits: np.ndarray,
    chances: np.ndarray,
    temperature: np.ndarray,
    top_k: np.ndarray,
    top_p: np.ndarray,
    wanted: np.ndarray,
    drawn: np.ndarray,
) -> None:
    rows, codebooks, size = logits.shape
    codes, scores = np.empty(size, np.int64), np.empty(size, np.float32)
    for row in range(rows):
        for k in range(codebooks):
            if not wanted[row, 0]:
                drawn[row, k] = 0
                continue
            found = _likeliest(logits[row, k], temperature[row, 0, 0], top_k[row, 0, 0] + 1, codes, scores)
            rank = _rank(scores[:found], chances[row, k], top_p[row, 0, 0])
            drawn[row, k] = codes[rank]


@compiled
def _likeliest(logits: np.ndarray, temperature: np.float32, wanted: int, codes: np.ndarray, scores: np.ndarray) -> int:
    """The `wanted` likeliest codes and those as likely as the last, likeliest first. Returns how many.

    They are counted into bins by their distance from the highest; only what lies in the first bins is sorted.
    """
    size = len(logits)
    highest = logits[0]
    for code in range(size):
        highest = max(highest, logits[code])
    counts = np.zeros(BINS, np.int64)
    bins = np.empty(size, np.int32)
    scale = BINS_A_UNIT / temperature
    for code in range(size):
        distance = (highest - logits[code]) * scale
        bins[code] = np.int32(distance) if distance < BINS - 1 else np.int32(BINS - 1)  # NaN is furthest
    for code in range(size):
        counts[bins[code]] += 1
    furthest, within = 0, counts[0]
    while within < wanted:
        furthest += 1
        within += counts[furthest]
    found = 0
    for code in range(size):
        if bins[code] <= furthest:
            score = (logits[code] - highest) / temperature
            place = found
            while place > 0 and scores[place - 1] < score:
                scores[place], codes[place] = scores[place - 1], codes[place - 1]
                place -= 1
            scores[place], codes[place] = score, code
            found += 1
    while found > wanted and scores[found - 1] < scores[wanted - 1]:
        found -= 1
    return found


@compiled
def _rank(scores: np.ndarray, chance: np.float32, top_p: np.float32) -> int:
    """Draw a place among sorted scores, within the shortest run that holds the share `top_p`."""
    total = np.float32(0)
    for place in range(len(scores)):
        scores[place] = _exp(scores[place])
        total += scores[place]
    kept, held = 0, np.float32(0)
    while kept < len(scores) and (kept == 0 or held < top_p * total):
        held += scores[kept]
        kept += 1
    target, sums = chance * held, np.float32(0)
    for place in range(kept):
        sums += scores[place]
        if target < sums:
            return place
    return kept - 1
