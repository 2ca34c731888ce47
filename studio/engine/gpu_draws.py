"""GPU draws: what stands around the draw of a frame, in two launches, not forty. See `sampler.next_frame`."""

import torch
import triton
import triton.language as tl

from studio.engine.sampler import (
    FIRST_MULTIPLIER,
    GOLDEN,
    NEVER,
    SECOND_MULTIPLIER,
    UNIFORM_BITS,
    SamplerState,
    SpecialCodes,
    signed,
)

WARPS = 1
STEP: tl.constexpr = tl.constexpr(signed(GOLDEN))
FIRST: tl.constexpr = tl.constexpr(signed(FIRST_MULTIPLIER))
SECOND: tl.constexpr = tl.constexpr(signed(SECOND_MULTIPLIER))
SMALLEST: tl.constexpr = tl.constexpr(2.0**-UNIFORM_BITS)
# A shift of int64 copies the sign: so many bits are kept after shifts by 30, 27, 31 and down to UNIFORM_BITS.
LOW_34: tl.constexpr = tl.constexpr(2**34 - 1)
LOW_37: tl.constexpr = tl.constexpr(2**37 - 1)
LOW_33: tl.constexpr = tl.constexpr(2**33 - 1)
LAST: tl.constexpr = tl.constexpr(64 - UNIFORM_BITS)
LOW_LAST: tl.constexpr = tl.constexpr(2**UNIFORM_BITS - 1)
NOT_YET: tl.constexpr = tl.constexpr(NEVER)


@triton.jit  # type: ignore[untyped-decorator]
def _uniforms(streams, frame, out, STREAMS: tl.constexpr, BLOCK: tl.constexpr):
    row, number = tl.program_id(0), tl.arange(0, BLOCK)
    places, real = row * STREAMS + number, number < STREAMS
    word = tl.load(streams + places, mask=real, other=0) + tl.load(frame + row) * STEP
    word = (word ^ ((word >> 30) & LOW_34)) * FIRST
    word = (word ^ ((word >> 27) & LOW_37)) * SECOND
    word = word ^ ((word >> 31) & LOW_33)
    chance = ((word >> LAST) & LOW_LAST).to(tl.float32) * SMALLEST
    tl.store(out + places, chance, mask=real)


@triton.jit  # type: ignore[untyped-decorator]
def _move_on(
    drawn, again, codes, frame, ended_at, recent, counted, repeats, begin, end,
    RAS: tl.constexpr, CODEBOOKS: tl.constexpr, WINDOW: tl.constexpr, BLOCK: tl.constexpr, WINDOW_BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    k, w = tl.arange(0, BLOCK), tl.arange(0, WINDOW_BLOCK)
    real = k < CODEBOOKS
    now, ended = tl.load(frame + row), tl.load(ended_at + row)
    new = tl.load(drawn + row * CODEBOOKS + k, mask=real, other=0)
    new = tl.where(now <= k, begin, new)
    new = tl.where(now - ended > k, end, new)
    window = recent + (row * WINDOW + w[:, None]) * CODEBOOKS + k[None, :]
    inside = (w < WINDOW)[:, None] & real[None, :]
    if RAS:
        seen = tl.load(window, mask=inside, other=-1) == new[None, :]
        counts = tl.load(counted + row * WINDOW + w, mask=w < WINDOW, other=0) != 0
        often = tl.sum((seen & counts[:, None]).to(tl.int32), 0) >= tl.load(repeats + row)
        new = tl.where(often, tl.load(again + row * CODEBOOKS + k, mask=real, other=0), new)
    older = tl.load(window + CODEBOOKS, mask=inside & (w + 1 < WINDOW)[:, None], other=-1)
    newest = tl.where(new >= begin, -1, new)
    has_ended = tl.max(((new == end) & real).to(tl.int32), 0) > 0
    tl.debug_barrier()  # all has been read that is now written over
    tl.store(codes + row * CODEBOOKS + k, new, mask=real)
    tl.store(window, tl.where((w == WINDOW - 1)[:, None], newest[None, :], older), mask=inside)
    tl.store(ended_at + row, tl.minimum(ended, tl.where(has_ended, now, NOT_YET)))
    tl.store(frame + row, now + 1)


def uniforms(streams: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
    """See `sampler.uniforms`: the same numbers."""
    count = streams.shape[1] * streams.shape[2]
    out = torch.empty(streams.shape, dtype=torch.float32, device=streams.device)
    block = triton.next_power_of_2(count)
    _uniforms[(len(streams),)](streams, frame, out, STREAMS=count, BLOCK=block, num_warps=WARPS)
    return out


def move_on(drawn: torch.Tensor, again: torch.Tensor | None, state: SamplerState, special: SpecialCodes) -> None:
    """Make a frame of what was drawn, and move the state on, in place.

    Args:
        drawn: int64 [S, K].
        again: int64 [S, K]: taken where a code has been repeated too often; None looks for no repeats.
    """
    rows, codebooks = drawn.shape
    window = state.recent.shape[1]
    _move_on[(rows,)](
        drawn.contiguous(), drawn if again is None else again.contiguous(), state.codes, state.frame, state.ended_at,
        state.recent, state.counted.view(torch.uint8), state.repeats, special.begin, special.end,
        RAS=again is not None, CODEBOOKS=codebooks, WINDOW=window, BLOCK=triton.next_power_of_2(codebooks),
        WINDOW_BLOCK=triton.next_power_of_2(window), num_warps=WARPS,
    )  # fmt: skip
