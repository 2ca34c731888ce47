"""CPU draws: from logits to the next frame in one compiled call, row by row.

The rules are those of `sampler.next_frame`, which says them in tensors for a GPU. There thirty calls of torch a
frame cost nothing, since they are recorded; here they took as long as a tenth of the weights.
"""

import numpy as np
import torch

from studio.engine.cpu_kernels import compiled, exp, inlined
from studio.engine.sampler import (
    FIRST_MULTIPLIER,
    GOLDEN,
    SECOND_MULTIPLIER,
    SHORTLIST,
    UNIFORM_BITS,
    Plan,
    SamplerState,
    SpecialCodes,
    draw_sorted,
    plan_for,
    uniforms,
)
from studio.sampling import Sampling

LEAST_SCORE = np.float32(-87.0)  # what is less likely than e^-87 is never drawn


def prepare() -> None:
    """Have the kernel compiled, so that nobody waits for it later."""
    special = SpecialCodes(begin=6, end=7, codebook_size=8)
    state = SamplerState.empty(1, 1, torch.device("cpu"))
    state.start(0, Sampling(), torch.zeros(0, 1, dtype=torch.int64), special)
    next_frame(torch.zeros(1, 1, 8), state, plan_for([Sampling()], 8), special)


def next_frame(logits: torch.Tensor, state: SamplerState, plan: Plan, special: SpecialCodes) -> torch.Tensor:
    """Draw the next frame of every row and move the state on, in place.

    Args:
        logits: float32 [S, K, V].

    Returns:
        The codes, int64 [S, K], in the delay pattern: `state.codes`.
    """
    if plan.full:  # few ask for it, and sorting is what torch does best
        chances = uniforms(state.streams, state.frame)[:, 0]
        scores, codes = (logits / state.temperature).sort(-1, descending=True)
        drawn = draw_sorted(scores, codes, chances, state)
    else:
        drawn = torch.empty(logits.shape[:2], dtype=torch.int64)
    draw_frame(logits.numpy(), drawn.numpy(), special.begin, special.end, *state.arrays)
    return state.codes


@compiled
def draw_frame(
    logits: np.ndarray,
    drawn: np.ndarray,
    begin: int,
    end: int,
    codes: np.ndarray,
    frames: np.ndarray,
    ended_at: np.ndarray,
    recent: np.ndarray,
    counted: np.ndarray,
    repeats: np.ndarray,
    streams: np.ndarray,
    temperature: np.ndarray,
    top_k: np.ndarray,
    top_p: np.ndarray,
    greedy: np.ndarray,
    short: np.ndarray,
) -> None:
    """Draw what is not drawn yet, and move the state on: see `next_frame`. The state is in the order of its fields."""
    rows, codebooks, size = logits.shape
    candidates, scores = np.empty(size, np.int64), np.empty(size, np.float32)
    for row in range(rows):
        frame = frames[row]
        for k in range(codebooks):
            # Codebook k begins k frames late, and is silenced k frames after the first one.
            if frame - ended_at[row] > k:
                drawn[row, k] = end
            elif frame <= k:
                drawn[row, k] = begin
            elif greedy[row, 0]:
                drawn[row, k] = np.argmax(logits[row, k])
            elif short[row, 0]:
                kept = top_k[row, 0, 0] + 1
                found = _likeliest(logits[row, k], temperature[row, 0, 0], kept, candidates, scores)
                rank = _rank(scores[:found], _uniform(streams[row, 0, k], frame), top_p[row, 0, 0])
                drawn[row, k] = candidates[rank]
            if _seen(recent[row], counted[row], drawn[row, k], k) >= repeats[row, 0]:
                # The second draw is from the raw distribution: no temperature, no top-k, no top-p.
                drawn[row, k] = _draw_raw(logits[row, k], _uniform(streams[row, 1, k], frame), scores)
        recent[row, :-1] = recent[row, 1:]
        for k in range(codebooks):
            code = drawn[row, k]
            codes[row, k] = code
            recent[row, -1, k] = code if code < begin else -1
            if code == end:
                ended_at[row] = min(ended_at[row], frame)
        frames[row] = frame + 1


@compiled
def _seen(recent: np.ndarray, counted: np.ndarray, code: int, k: int) -> int:
    """How often codebook `k` has said `code` within the row's window."""
    times = 0
    for place in range(len(recent)):
        times += counted[place, 0] and recent[place, k] == code
    return times


@inlined
def _uniform(stream: int, frame: int) -> np.float32:
    """Number `frame` of a stream, 0 <= u < 1: see `sampler.uniforms`."""
    word = np.uint64(stream) + np.uint64(frame) * np.uint64(GOLDEN)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(FIRST_MULTIPLIER)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(SECOND_MULTIPLIER)
    word = word ^ (word >> np.uint64(31))
    return np.float32(word >> np.uint64(64 - UNIFORM_BITS)) * np.float32(2.0**-UNIFORM_BITS)


@compiled
def _draw_raw(logits: np.ndarray, chance: np.float32, sums: np.ndarray) -> int:
    """Draw from softmax(logits); `sums` is overwritten."""
    highest = logits[0]
    for code in range(len(logits)):
        highest = max(highest, logits[code])
    total = np.float32(0)
    for code in range(len(logits)):
        score = logits[code] - highest
        total += exp(score) if score > LEAST_SCORE else np.float32(0)
        sums[code] = total
    target = chance * total
    for code in range(len(logits)):
        if target < sums[code]:
            return code
    return int(np.argmax(logits))


@compiled
def _likeliest(logits: np.ndarray, temperature: np.float32, wanted: int, codes: np.ndarray, scores: np.ndarray) -> int:
    """The `wanted` likeliest codes and those as likely as the last, likeliest first. Returns how many.

    Of the highest logits of `SHORTLIST` heaps of codes, the one in place `wanted` is no higher than that in place
    `wanted` of all: only the few codes that reach it are sorted.
    """
    size = len(logits)
    tops, descending = np.full(SHORTLIST, -np.inf, np.float32), np.empty(SHORTLIST, np.float32)
    for start in range(0, size, SHORTLIST):
        for heap in range(min(SHORTLIST, size - start)):
            tops[heap] = logits[start + heap] if logits[start + heap] > tops[heap] else tops[heap]  # NaN never is
    kept = 0
    for top in tops:
        if kept < wanted or top > descending[kept - 1]:
            kept = min(kept + 1, wanted)
            place = kept - 1
            while place > 0 and descending[place - 1] < top:
                descending[place] = descending[place - 1]
                place -= 1
            descending[place] = top
    highest = descending[0]
    least = (descending[kept - 1] - highest) / temperature
    every = np.empty(size, np.float32)
    for code in range(size):
        every[code] = (logits[code] - highest) / temperature
    found = 0
    for code in range(size):
        if every[code] >= least:
            place = found
            while place > 0 and scores[place - 1] < every[code]:
                scores[place], codes[place] = scores[place - 1], codes[place - 1]
                place -= 1
            scores[place], codes[place] = every[code], code
            found += 1
            while found > wanted and scores[found - 1] < scores[wanted - 1]:
                found -= 1
            if found >= wanted:
                least = scores[wanted - 1]
    if found == 0:  # none of them is a number
        codes[0], scores[0], found = 0, 0, 1
    return found


@compiled
def _rank(scores: np.ndarray, chance: np.float32, top_p: np.float32) -> int:
    """Draw a place among sorted scores, within the shortest run that holds the share `top_p`."""
    total = np.float32(0)
    for place in range(len(scores)):
        scores[place] = exp(scores[place])
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
