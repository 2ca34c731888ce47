"""CPU kernels: what stands between the products of a frame, compiled for this machine.

A frame on the CPU is some forty products and, between them, work too small for torch: three quarters of
the time went into calls. Each kernel walks row by row, so the bits of a row cannot depend on the rows
beside it, nor on how many threads torch has. Compiled by Numba at the first start, then read from disk.
"""

import hashlib
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
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
    """Compile at the first call, or take what an earlier process has compiled of the same sources."""
    try:
        kernel: Any = numba.njit(cache=True, nogil=True, **ARITHMETIC)(function)
    except RuntimeError:  # no folder can be written: each process compiles anew
        return numba.njit(nogil=True, **ARITHMETIC)(function)
    # Numba looks at the file of the function only, and would keep using what is outdated in the kernels it calls.
    kernel._cache._cache_file._source_stamp = _sources()
    return kernel  # type: ignore[no-any-return]


@cache
def _sources() -> str:
    """A digest of the files from which kernels are made."""
    folder = Path(__file__).parent
    files = sorted([*folder.glob("cpu_*.py"), folder / "sampler.py"])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def inlined(function: _Function) -> _Function:
    """Compile into whatever calls it."""
    return numba.njit(inline="always", **ARITHMETIC)(function)


def prepare(say: Callable[[str], None] = lambda text: None) -> None:
    """Have every kernel compiled, so that nobody waits for it later.

    Args:
        say: Told what is waited for, where no earlier process has compiled them.
    """
    row = torch.ones(1, 4)
    kernel: Any = norm_rows  # as Numba made it
    first = not kernel.signatures
    rms_norm(row, row[0], 1.0)
    if first and not kernel.stats.cache_hits:
        say("Compiling kernels for this processor: some fifteen seconds.")
    gated(row)
    block, table = np.zeros((1, 2, 1, 4), np.float32), np.ones((1, 1, 4), np.float32)
    attend(torch.ones(1, 3, 4), block, 0, np.zeros(1, np.int64), table, table)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root mean square normalisation of each row. Shapes: float32 [M, H], [H] -> [M, H]."""
    normed = torch.empty_like(x)
    norm_rows(x.numpy(), weight.numpy(), np.float32(eps), normed.numpy())
    return normed


def gated(gate_up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up. Shape: float32 [M, 2 * I] -> [M, I]."""
    product = torch.empty(len(gate_up), gate_up.shape[1] // 2)
    gate_rows(gate_up.numpy(), product.numpy())
    return product


def attend(
    heads: torch.Tensor, block: np.ndarray, first_row: int, positions: np.ndarray, cos: np.ndarray, sin: np.ndarray
) -> torch.Tensor:
    """Rotate, store the keys and values of this step, and attend over each row's own positions.

    Args:
        heads: [S, query heads + 2 * key heads, D]: queries, keys, values.
        block: the layer's cache, [slots, 2 * key heads, capacity, D].
        first_row: which of the slots the first row stands in; the others follow.
        positions: int64 [S]: where each row's new position is.
        cos: [capacity, 1, D].
        sin: [capacity, 1, D], negative in its first half.

    Returns:
        [S, query heads * D]
    """
    rows, count, head_dim = heads.shape
    attended = torch.empty(rows, count - block.shape[1], head_dim)
    attend_rows(heads.numpy(), block, first_row, positions, cos, sin, attended.numpy())
    return attended.view(rows, -1)


@inlined
def exp(x: np.float32) -> np.float32:
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
def norm_rows(x: np.ndarray, weight: np.ndarray, eps: np.float32, normed: np.ndarray) -> None:
    """See `rms_norm`."""
    width = x.shape[1]
    for row in range(x.shape[0]):
        squares = np.float32(0)
        for i in range(width):
            squares += x[row, i] * x[row, i]
        scale = np.float32(1) / np.float32(math.sqrt(squares / np.float32(width) + eps))
        for i in range(width):
            normed[row, i] = x[row, i] * scale * weight[i]


@compiled
def gate_rows(gate_up: np.ndarray, product: np.ndarray) -> None:
    """See `gated`."""
    width = product.shape[1]
    for row in range(product.shape[0]):
        for i in range(width):
            gate = gate_up[row, i]
            falling = exp(-abs(gate))
            share = np.float32(1) / (np.float32(1) + falling)
            product[row, i] = gate * (share if gate >= 0 else falling * share) * gate_up[row, width + i]


@compiled
def _rotate(head: np.ndarray, cos: np.ndarray, sin: np.ndarray, factor: np.float32, rotated: np.ndarray) -> None:
    half = len(head) // 2
    for i in range(half):
        rotated[i] = factor * (head[i] * cos[i] + head[i + half] * sin[i])
        rotated[i + half] = factor * (head[i + half] * cos[i + half] + head[i] * sin[i + half])


@compiled
def attend_rows(
    heads: np.ndarray,
    block: np.ndarray,
    first_row: int,
    positions: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    attended: np.ndarray,
) -> None:
    """See `attend`."""
    rows, count, width = heads.shape
    key_heads = block.shape[1] // 2
    sharing = (count - 2 * key_heads) // key_heads  # queries of one key head
    scale = np.float32(1 / math.sqrt(width))
    query = np.empty(width, np.float32)
    scores = np.empty(block.shape[2], np.float32)
    for row in range(rows):
        last = positions[row]
        for head in range(key_heads):
            keys, values = block[first_row + row, head], block[first_row + row, key_heads + head]
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
        scores[j] = exp(scores[j] - highest)
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
