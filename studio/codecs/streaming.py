"""Streaming: the sound of codes that are still growing, as it will be in the whole.

The decoder of the Higgs Audio V2 tokenizer is not causal: a frame's sound depends on its neighbours. How far follows
from its layers (9.9 frames to either side with the strides 8, 5, 4, 2, 3 of the published tokenizer), and how much of
that can be heard from its weights: both are found out by asking the codec at hand. A window with all that a frame looks
at on each side gives the samples of the whole (-120 dB). Sound given earlier is wrong: by -27 dB with
4 frames after it, by -4 dB with none; a crossfade would only blend those wrong samples into the right ones.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from studio.audio import Audio
from studio.codes import Codec, Codes

PIECE_FRAMES = 24  # of the longest piece: there the context costs as much as the piece
SLOW_FIRST_FRAMES = 8  # of the first piece, where no first piece lasts until the next is made
UNHEARD_DB = -80.0  # beside the sound as a whole, of codes by chance: a seam of speech may err ten times as much
PROBE_FRAMES, PROBE_STEPS = 32, 8  # as many steps a frame in which an error is looked for
RESERVE = 2.0  # a piece is to last so many times as long as making the next one takes


class LayeredCodec(Codec, Protocol):
    """A codec that can be asked what its decoder looks at."""

    def samples_touched_by(self, frame: int, frames: int) -> np.ndarray:
        """Which samples of so many frames depend on one of them. Shape: bool [frames * hop]."""
        ...


@dataclass(frozen=True)
class Reach:
    """How far a codec's decoder looks from a frame, and how fast it is."""

    exact_frames: int  # what is further away changes nothing
    heard_frames: int  # what follows later than this changes a frame by less than UNHEARD_DB
    window_seconds: float  # decoding a short window takes


def reach_of(codec: LayeredCodec) -> Reach:
    """Ask a codec, by its layers and by decoding codes that end too early."""
    frames = PROBE_FRAMES
    touched = codec.samples_touched_by(frames // 2, frames)
    while touched[0] or touched[-1]:
        frames *= 2
        touched = codec.samples_touched_by(frames // 2, frames)
    places = np.flatnonzero(touched) * frames / len(touched)
    exact = math.ceil(max(frames // 2 - places[0], places[-1] - frames // 2 - 1 + frames / len(touched)))

    values = np.random.default_rng(0).integers(0, codec.codebook_size, (codec.codebooks, 4 * exact + 8))
    codes = Codes(values, codec.frame_rate, codec.codebook_size)
    whole, heard, times = codec.decode(codes), 0, []
    hop = whole.length // codes.frames
    for cut in range(2 * exact, 3 * exact, max(1, exact // 3)):
        began = time.perf_counter()
        early = codec.decode(codes.between(0, cut))
        times.append(time.perf_counter() - began)
        wrong = _error_db(early.samples[0], whole.samples[0], hop // PROBE_STEPS)
        heard = max(heard, math.ceil((len(wrong) - np.flatnonzero(wrong > UNHEARD_DB)[0]) / PROBE_STEPS))
    return Reach(exact, min(exact, heard), min(times))


def _error_db(early: np.ndarray, whole: np.ndarray, step: int) -> np.ndarray:
    """Energy of the difference in each stretch of `step` samples, beside that of the whole."""
    wrong = np.square(early - whole[: len(early)], dtype=np.float64)
    wrong = wrong[len(wrong) % step :].reshape(-1, step).mean(axis=1)
    return 10 * np.log10(wrong / np.square(whole, dtype=np.float64).mean() + 1e-20)


def first_piece_frames(reach: Reach, frame_seconds: float, frame_rate: float) -> int:
    """The shortest first piece that lasts until the second, twice as long, is made.

    Args:
        reach: Of the codec.
        frame_seconds: Making a frame takes.
        frame_rate: Hz.
    """
    for frames in range(1, PIECE_FRAMES + 1):
        fresh = 2 * frames + reach.exact_frames - reach.heard_frames
        if frames / frame_rate >= RESERVE * (fresh * frame_seconds + reach.window_seconds):
            return frames
    return SLOW_FIRST_FRAMES


def next_piece_frames(frames: int) -> int:
    """How long the piece after one of so many frames is to be."""
    return min(2 * frames, PIECE_FRAMES)


def decode_between(decode: Callable[[Codes], Audio], codes: Codes, start: int, stop: int, context: int) -> Audio:
    """Sound of frames `start` to `stop` (end excluded) of codes, as in the whole.

    Args:
        decode: Of a codec.
        codes: All frames so far `[K, T]`. What follows frame T is not known, so `stop` must be far enough from it.
        start: First frame.
        stop: Frame after the last.
        context: How many frames to look at on each side: the codec's `Reach.exact_frames`.
    """
    first, last = max(0, start - context), min(codes.frames, stop + context)
    window = decode(codes.between(first, last))
    hop = window.length // (last - first)
    return Audio(window.samples[:, (start - first) * hop : (stop - first) * hop], window.sample_rate)
