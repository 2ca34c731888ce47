"""Short-time objective intelligibility (STOI), with what only depends on the reference computed once.

Source: Taal, Hendriks, Heusdens, Jensen, "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy
Speech", IEEE TASLP 19(7), 2011. Same figures as the package `pystoi` (tests/test_stoi.py) in a twentieth of its time,
since a comparison measures many versions of one clip.
"""

import math
from functools import lru_cache

import numpy as np
import scipy.fft

from studio.audio import Audio

RATE = 10_000  # Hz
WINDOW, HOP, LINES = 256, 128, 512  # samples: 25.6 ms, half overlapped; length of the transform
BANDS, LOWEST_HZ = 15, 150.0  # thirds of an octave, and the middle of the lowest
SEGMENT = 30  # frames: 384 ms, in which a band's envelope is compared
DYNAMIC_DB = 40.0  # frames that far below the loudest one are pauses
CLIPPED_AT = 1 + 10 ** (15 / 20)  # a version's band counts as at most 15 dB of distortion
TINY = float(np.finfo(np.float64).eps)


class StoiReference:
    """Clean speech, ready to be compared with any number of versions of it."""

    def __init__(self, audio: Audio) -> None:
        frames = _frames(_at_10_khz(audio))
        levels = 20 * np.log10(np.linalg.norm(frames, axis=1) + TINY)
        self._spoken = levels > levels.max(initial=-math.inf) - DYNAMIC_DB  # frames that are no pauses
        self._bands = _bands(frames[self._spoken])
        segments = _segments(self._bands)
        self._norms = np.linalg.norm(segments, axis=2, keepdims=True)
        centred = segments - segments.mean(axis=2, keepdims=True)
        self._shapes = centred / (np.linalg.norm(centred, axis=2, keepdims=True) + TINY)

    def of(self, version: Audio) -> float | None:
        """STOI of a version of equal rate and length, about 0 to 1; None for too little speech between the pauses."""
        if not self._shapes.size:
            return None
        segments = _segments(_bands(_frames(_at_10_khz(version))[self._spoken]))
        levelled = segments * (self._norms / (np.linalg.norm(segments, axis=2, keepdims=True) + TINY))
        clipped = np.minimum(levelled, _segments(self._bands) * CLIPPED_AT)
        clipped -= clipped.mean(axis=2, keepdims=True)
        clipped /= np.linalg.norm(clipped, axis=2, keepdims=True) + TINY
        return float(np.vdot(clipped, self._shapes)) / (self._shapes.shape[0] * self._shapes.shape[1])


def _at_10_khz(audio: Audio) -> np.ndarray:
    """Shape: float32 [1, N] to float64 [N']. pystoi has a slower resampler; the score differs by less than 1e-5."""
    return audio.resampled(RATE).samples[0].astype(np.float64)


_TAPER = np.hanning(WINDOW + 2)[1:-1]


def _frames(samples: np.ndarray) -> np.ndarray:
    """Tapered frames. Shape: [N] to [T, WINDOW]."""
    if len(samples) <= WINDOW:
        return np.zeros((0, WINDOW))
    views = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[: len(samples) - WINDOW : HOP]
    return views * _TAPER


def _bands(frames: np.ndarray) -> np.ndarray:
    """Frames without their pauses, put together again, as magnitudes in thirds of an octave. Shape: [BANDS, T']."""
    if not len(frames):
        return np.zeros((BANDS, 0))
    joined = np.zeros((len(frames) + 1, HOP))  # overlap-add of frames that overlap by half
    joined[:-1] = frames[:, :HOP]
    joined[1:] += frames[:, HOP:]
    power = np.square(np.abs(scipy.fft.rfft(_frames(joined.reshape(-1)), LINES, axis=1)))
    return np.sqrt(_thirds_of_octaves() @ power.T)


@lru_cache
def _thirds_of_octaves() -> np.ndarray:
    """Which lines of the spectrum each band sums. Shape: [BANDS, LINES // 2 + 1]."""
    hertz = np.arange(LINES // 2 + 1) * RATE / LINES
    edges = LOWEST_HZ * 2 ** ((2 * np.arange(BANDS + 1) - 1) / 6)
    nearest = np.abs(hertz - edges[:, None]).argmin(axis=1)
    lines = np.arange(hertz.size)
    return ((lines >= nearest[:-1, None]) & (lines < nearest[1:, None])).astype(np.float64)


def _segments(bands: np.ndarray) -> np.ndarray:
    """Every stretch of 30 frames. Shape: [BANDS, T] to [BANDS, T - 29, SEGMENT]; none where T is less."""
    if bands.shape[1] < SEGMENT:
        return np.zeros((BANDS, 0, SEGMENT))
    return np.lib.stride_tricks.sliding_window_view(bands, SEGMENT, axis=1)
