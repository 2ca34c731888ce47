"""Sampler: from logits to the next frame of codes, with all state as tensors on the device.

The rules are those of transformers' `HiggsAudioV2GenerationMixin._sample` and its delay pattern
processor. Nothing here waits for the device, and no row looks at another row. Said in tensors, as a GPU needs
them; `cpu_draws.next_frame` says the same for a CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch

from studio.sampling import Sampling

NEVER = 2**62  # the frame in which a stream that has not ended ends
LONGEST_WINDOW = int(next(dial.high for dial in Sampling.dials() if dial.name == "ras_window"))
SHORTLIST = 64  # how many of the likeliest codes a row with a small top-k looks at
ROOM_FOR_TIES = 8  # transformers keeps every code as likely as the k-th; bfloat16 logits often tie

# SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators") in the
# wrapping int64 arithmetic that torch has on every device, so CPU and GPU draw the same numbers.
GOLDEN = 0x9E3779B97F4A7C15
FIRST_MULTIPLIER = 0xBF58476D1CE4E5B9
SECOND_MULTIPLIER = 0x94D049BB133111EB
UNIFORM_BITS = 23  # u * total then stays below total in float32, so no draw falls off the end


@dataclass(frozen=True)
class Plan:
    """Which ways of drawing occur among the rows of a step. Known on the host: it shapes the step."""

    greedy: bool  # some row has temperature 0
    short: bool  # some row draws from a small top-k
    full: bool  # some row needs all codes sorted
    ras: bool  # some row draws repeated codes again


def plan_for(samplings: Sequence[Sampling], codebook_size: int) -> Plan:
    """The plan of a batch with these settings."""
    drawn = [sampling for sampling in samplings if sampling.temperature > 0]
    return Plan(
        greedy=len(drawn) < len(samplings),
        short=any(_is_short(sampling, codebook_size) for sampling in drawn),
        full=any(not _is_short(sampling, codebook_size) for sampling in drawn),
        ras=any(sampling.ras_window > 0 for sampling in samplings),
    )


def _is_short(sampling: Sampling, codebook_size: int) -> bool:
    return 0 < sampling.top_k <= min(SHORTLIST, codebook_size) - ROOM_FOR_TIES


@dataclass(frozen=True, eq=False)
class SamplerState:
    """What the next frame of each row depends on besides its logits. S rows, K codebooks."""

    codes: torch.Tensor  # int64 [S, K]: the frame drawn last, in the delay pattern
    frame: torch.Tensor  # int64 [S]: number of the frame to draw next; the begin of stream is frame 0
    ended_at: torch.Tensor  # int64 [S]: the first frame in which any codebook said end of stream
    recent: torch.Tensor  # int64 [S, LONGEST_WINDOW, K]: codes drawn last, newest at the end; -1 never counts
    counted: torch.Tensor  # bool [S, LONGEST_WINDOW, 1]: which of them the row's RAS window reaches
    repeats: torch.Tensor  # int64 [S, 1]: seen this often in the window, a code is drawn again
    streams: torch.Tensor  # int64 [S, 2, K]: one random stream for each codebook's draw and second draw
    temperature: torch.Tensor  # float32 [S, 1, 1]
    top_k: torch.Tensor  # int64 [S, 1, 1]: index of the last code kept
    top_p: torch.Tensor  # float32 [S, 1, 1]
    greedy: torch.Tensor  # bool [S, 1]
    short: torch.Tensor  # bool [S, 1]

    @classmethod
    def empty(cls, rows: int, num_codebooks: int, device: torch.device) -> "SamplerState":
        """State for `rows` rows, none of them in use."""

        def whole(value: int, *shape: int) -> torch.Tensor:
            return torch.full((rows, *shape), value, dtype=torch.int64, device=device)

        def flag(*shape: int) -> torch.Tensor:
            return torch.zeros((rows, *shape), dtype=torch.bool, device=device)

        return cls(
            codes=whole(0, num_codebooks),
            frame=whole(0),
            ended_at=whole(NEVER),
            recent=whole(-1, LONGEST_WINDOW, num_codebooks),
            counted=flag(LONGEST_WINDOW, 1),
            repeats=whole(1, 1),
            streams=whole(0, 2, num_codebooks),
            temperature=torch.ones((rows, 1, 1), device=device),
            top_k=whole(0, 1, 1),
            top_p=torch.ones((rows, 1, 1), device=device),
            greedy=flag(1),
            short=flag(1),
        )

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The same memory for NumPy, in the order of the fields; on a CPU only."""
        return tuple(getattr(self, item.name).numpy() for item in fields(self))

    def first(self, rows: int) -> "SamplerState":
        """The first `rows` rows, sharing memory."""
        return self.rows(0, rows)

    def rows(self, start: int, stop: int) -> "SamplerState":
        """Rows `start` to `stop`, sharing memory."""
        return SamplerState(**{item.name: getattr(self, item.name)[start:stop] for item in fields(self)})

    def copy_(self, other: "SamplerState") -> None:
        """Take over the values of `other`, which has as many rows."""
        for item in fields(self):
            getattr(self, item.name).copy_(getattr(other, item.name))

    def clone(self) -> "SamplerState":
        """The same values in memory of their own."""
        return SamplerState(**{item.name: getattr(self, item.name).clone() for item in fields(self)})

    def start(self, row: int, sampling: Sampling, audio_rows: torch.Tensor, special: "SpecialCodes") -> None:
        """Make `row` ready for its first frame after the begin of stream.

        Args:
            audio_rows: int64 [R, K], the prompt's rows: the RAS window reaches back into them.
        """
        device = self.codes.device
        size = special.codebook_size
        self.codes[row] = special.begin
        self.frame[row] = 1
        self.ended_at[row] = NEVER
        recent = torch.full_like(self.recent[row], -1)
        tail = audio_rows[-(LONGEST_WINDOW - 1) :].to(device)  # the begin of stream stands after them
        if len(tail):
            recent[-1 - len(tail) : -1] = tail.masked_fill(tail >= special.begin, -1)
        self.recent[row] = recent
        self.counted[row] = (
            (torch.arange(LONGEST_WINDOW) >= LONGEST_WINDOW - sampling.ras_window).unsqueeze(1).to(device)
        )
        self.repeats[row] = sampling.ras_max_repeats
        self.streams[row] = _streams(sampling.seed, self.codes.shape[1]).to(device)
        self.temperature[row] = sampling.temperature or 1.0
        self.top_k[row] = (min(sampling.top_k, size) or size) - 1
        # A share of 1 keeps everything, also where rounding makes the sum a little larger.
        self.top_p[row] = sampling.top_p if sampling.top_p < 1 else 2.0
        self.greedy[row] = sampling.temperature == 0
        self.short[row] = _is_short(sampling, size)


@dataclass(frozen=True)
class SpecialCodes:
    """The codes beyond the codec's own. They are the last of each codebook."""

    begin: int  # begin of stream, 1024
    end: int  # end of stream, 1025
    codebook_size: int  # with both, 1026


def next_frame(logits: torch.Tensor, state: SamplerState, plan: Plan, special: SpecialCodes) -> torch.Tensor:
    """Draw the next frame of every row and move the state on, in place.

    Args:
        logits: [S, K, V], any float type.

    Returns:
        The codes, int64 [S, K], in the delay pattern: `state.codes`.
    """
    logits = logits.float()
    chances = uniforms(state.streams, state.frame)
    drawn = _draw(logits, chances[:, 0], state, plan)

    # Codebook k begins k frames late. Once any codebook has ended, the first is silenced from the
    # next frame on, the second from the one after, and so forth.
    late = torch.arange(logits.shape[1], device=logits.device)
    frame = state.frame.unsqueeze(1)
    drawn.masked_fill_(frame <= late, special.begin)
    drawn.masked_fill_(frame - state.ended_at.unsqueeze(1) > late, special.end)

    if plan.ras:
        seen = (state.recent == drawn.unsqueeze(1)).logical_and_(state.counted).sum(1)
        # The second draw is from the raw distribution: no temperature, no top-k, no top-p. It is made for all,
        # since looking whether anyone needs it would stop a GPU.
        drawn = torch.where(seen >= state.repeats, _draw_raw(logits, chances[:, 1]), drawn)

    state.codes.copy_(drawn)
    state.recent.copy_(torch.cat((state.recent[:, 1:], drawn.masked_fill(drawn >= special.begin, -1).unsqueeze(1)), 1))
    just_ended = state.frame.masked_fill((drawn != special.end).all(1), NEVER)
    torch.minimum(state.ended_at, just_ended, out=state.ended_at)
    state.frame.add_(1)
    return state.codes


def _draw(logits: torch.Tensor, chances: torch.Tensor, state: SamplerState, plan: Plan) -> torch.Tensor:
    """One code for each row and codebook by the row's own settings. Shape: int64 [S, K].

    A row takes the same way whatever stands beside it, so its codes do not depend on the batch.
    """
    drawn: torch.Tensor | None = None
    if plan.short:
        shortlist = (logits / state.temperature).topk(min(SHORTLIST, logits.shape[-1]))
        drawn = draw_sorted(*shortlist, chances, state)
    if plan.full:
        full = draw_sorted(*(logits / state.temperature).sort(-1, descending=True), chances, state)
        drawn = full if drawn is None else torch.where(state.short, drawn, full)
    if plan.greedy:
        likeliest = logits.argmax(-1)
        drawn = likeliest if drawn is None else torch.where(state.greedy, likeliest, drawn)
    assert drawn is not None, "a batch has rows"
    return drawn


def draw_sorted(scores: torch.Tensor, codes: torch.Tensor, chances: torch.Tensor, state: SamplerState) -> torch.Tensor:
    """Draw among sorted candidates, likeliest first, within top-k and top-p. Shape: int64 [S, K]."""
    last = state.top_k.clamp(max=scores.shape[-1] - 1).expand(-1, scores.shape[1], -1)
    shares = scores.masked_fill(scores < scores.gather(-1, last), -torch.inf).softmax(-1)
    sums = shares.cumsum(-1)
    # top-p keeps the shortest run of candidates that holds the share, at least one.
    kept = (sums - shares) < state.top_p
    total = (sums * kept).amax(-1, keepdim=True)
    rank = (sums <= chances.unsqueeze(-1) * total).sum(-1, keepdim=True)
    return codes.gather(-1, rank).squeeze(-1)


def _draw_raw(logits: torch.Tensor, chances: torch.Tensor) -> torch.Tensor:
    """Draw from softmax(logits). Shape: int64 [S, K]."""
    sums = logits.softmax(-1).cumsum(-1)
    target = chances.unsqueeze(-1) * sums[..., -1:]
    return torch.searchsorted(sums, target, right=True).squeeze(-1)


def _streams(seed: int, num_codebooks: int) -> torch.Tensor:
    """Start values of a row's random streams. Shape: int64 [2, K]."""
    start = _finalise(seed * GOLDEN)
    words = [_finalise(start + number * GOLDEN) for number in range(1, 2 * num_codebooks + 1)]
    return torch.tensor([_signed(word) for word in words]).view(2, num_codebooks)


def uniforms(streams: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
    """Number `frame` of each stream, evenly spread over 0 <= u < 1. Shape: float32 [S, 2, K]."""
    word = streams + (frame * _signed(GOLDEN)).view(-1, 1, 1)
    word = (word ^ _shift_right(word, 30)) * _signed(FIRST_MULTIPLIER)
    word = (word ^ _shift_right(word, 27)) * _signed(SECOND_MULTIPLIER)
    word = word ^ _shift_right(word, 31)
    return _shift_right(word, 64 - UNIFORM_BITS).float() * 2.0**-UNIFORM_BITS


def _shift_right(word: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift in zeros; torch's own shift of int64 copies the sign."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)


def _finalise(word: int) -> int:
    """SplitMix64's output function, on the host."""
    word %= 2**64
    word = (word ^ (word >> 30)) * FIRST_MULTIPLIER % 2**64
    word = (word ^ (word >> 27)) * SECOND_MULTIPLIER % 2**64
    return word ^ (word >> 31)


def _signed(word: int) -> int:
    """The same 64 bits as torch's int64 reads them."""
    word %= 2**64
    return word - 2**64 if word >= 2**63 else word
