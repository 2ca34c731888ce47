"""Short-time spectra of a sound, and two distances between them. Windows are in milliseconds, so that sounds of any
sample rate are looked at alike.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy.fft
import scipy.signal

from studio.audio import Audio

# Window and hop in ms: the three resolutions of Yamamoto et al. (600, 120; 1200, 240; 240, 50 samples at 24 kHz).
RESOLUTIONS_MS = ((10.0, 2.0), (25.0, 5.0), (50.0, 10.0))
MEL_RESOLUTION = 2  # which of them the mel bands are made of
MEL_BANDS = 80
FLOOR = 1e-4  # magnitude of -80 dBFS: what is below it counts as silence
BLOCK_BYTES = 2**19  # of frames transformed at once


class Spectra:
    """Magnitude spectra of one sound at three resolutions, and its mel bands. Computed when first asked for."""

    def __init__(self, audio: Audio) -> None:
        self.audio = audio.mono()

    @cached_property
    def magnitudes(self) -> tuple[np.ndarray, ...]:
        """One magnitude spectrum a resolution. A sine of amplitude 1 gives 1. Shape: float32 [T, F] each."""
        return tuple(np.concatenate([*self.blocks(resolution)]) for resolution in range(len(RESOLUTIONS_MS)))

    @cached_property
    def logarithms(self) -> tuple[np.ndarray, ...]:
        """Natural logarithm of each magnitude spectrum, from the floor up. Shape: float32 [T, F] each."""
        return tuple(_logarithms(magnitudes) for magnitudes in self.magnitudes)

    @cached_property
    def norms(self) -> tuple[float, ...]:
        """Frobenius norm of each magnitude spectrum."""
        return tuple(float(np.linalg.norm(magnitudes)) for magnitudes in self.magnitudes)

    @cached_property
    def mel_db(self) -> np.ndarray:
        """Energy in 80 mel bands from 0 Hz to half the rate, in dB, floor -80. Shape: float32 [T, 80]."""
        magnitudes = self.magnitudes[MEL_RESOLUTION]
        # In the blocks that `distances` takes: products of matrices promise no equal bits for parts and for the whole.
        rows = _block_rows(_next_fast_size(MEL_RESOLUTION, self.audio.sample_rate))
        parts = (magnitudes[start : start + rows] for start in range(0, len(magnitudes), rows))
        return np.concatenate([_mel_db(part, self.audio.sample_rate) for part in parts])

    def prepare(self) -> None:
        """Compute all of it now, for threads that are to share it."""
        _ = self.logarithms, self.norms, self.mel_db

    def blocks(self, resolution: int) -> Iterator[np.ndarray]:
        """The magnitudes of one resolution, some frames at a time: what is computed on the way stays in the cache.

        Zeros lie beyond both ends of the sound, and the window is hardly padded. Shape: float32 [some of T, F] each.
        """
        samples, rate = self.audio.samples[0], self.audio.sample_rate
        window, hop = (round(milliseconds * rate / 1000) for milliseconds in RESOLUTIONS_MS[resolution])
        taper = _taper(window)
        padded = np.pad(samples, (window // 2, window))
        frames = np.lib.stride_tricks.sliding_window_view(padded, window)[: len(samples) + 1 : hop]
        size = _next_fast_size(resolution, rate)
        rows = _block_rows(size)
        tapered = np.zeros((rows, size), np.float32)
        for start in range(0, len(frames), rows):
            some = frames[start : start + rows]
            np.multiply(some, taper, out=tapered[: len(some), :window])
            yield np.abs(scipy.fft.rfft(tapered[: len(some)], axis=1))


def _next_fast_size(resolution: int, sample_rate: int) -> int:
    """Samples of a transform that holds the window of a resolution."""
    return int(scipy.fft.next_fast_len(round(RESOLUTIONS_MS[resolution][0] * sample_rate / 1000), real=True))


def _block_rows(size: int) -> int:
    """Frames of so many samples that are transformed at once."""
    return max(1, BLOCK_BYTES // (4 * size))


@lru_cache
def _taper(window: int) -> np.ndarray:
    """Hann, scaled so that a sine of amplitude 1 gives 1. Shape: float32 [window]."""
    taper = scipy.signal.get_window("hann", window).astype(np.float32)
    return np.asarray(taper * np.float32(2 / taper.sum()))


def _logarithms(magnitudes: np.ndarray) -> np.ndarray:
    above = np.maximum(magnitudes, FLOOR)
    return np.asarray(np.log(above, out=above))


def _mel_db(magnitudes: np.ndarray, sample_rate: int) -> np.ndarray:
    """Shape: float32 [T, F] of `MEL_RESOLUTION` to [T, 80]."""
    energies = np.square(magnitudes) @ _mel_weights(sample_rate, magnitudes.shape[1])
    return np.asarray(10 * np.log10(np.maximum(energies, FLOOR**2)))


@lru_cache
def _mel_weights(sample_rate: int, lines: int) -> np.ndarray:
    """Triangles of equal height 1 on Slaney's mel scale. Shape: float32 [F, 80]."""
    import librosa

    weights = librosa.filters.mel(sr=sample_rate, n_fft=2 * (lines - 1), n_mels=MEL_BANDS, norm=None)
    return np.ascontiguousarray(weights.T, np.float32)


@dataclass(frozen=True)
class Distances:
    """How far the spectra of two sounds of equal rate and length are from each other."""

    stft: float
    log_mel: float  # dB


def distances(reference: Spectra, version: Audio) -> Distances:
    """Two distances from one look at a version's spectra, of which nothing is kept.

    `stft` is a multi-resolution STFT distance. Source: Yamamoto, Song, Kim, "Parallel WaveGAN", ICASSP 2020: spectral
    convergence plus mean absolute difference of log magnitudes, mean over three resolutions; windows of 10, 25 and
    50 ms and a floor of -80 dBFS instead of numbers of samples. No unit. Range: 0 (equal) and up. Lower is better.

    `log_mel` is the mean absolute difference of mel bands in dB. Source: as used for codecs by DAC (Kumar et al.,
    NeurIPS 2023) and others, with one resolution (50 ms), 80 bands from 0 Hz to half the rate, and a floor of
    -80 dBFS. Unit: dB. Range: 0 (equal) to about 80. Lower is better.
    """
    spectra = Spectra(version)
    stft = mel = 0.0
    for resolution, norm in enumerate(reference.norms):
        magnitudes, logarithms = reference.magnitudes[resolution], reference.logarithms[resolution]
        lost = gap = 0.0
        start = 0
        for block in spectra.blocks(resolution):
            same = slice(start, start + len(block))
            difference = magnitudes[same] - block
            lost += float(np.vdot(difference, difference))
            if resolution == MEL_RESOLUTION:
                mel += _summed_gap(reference.mel_db[same], _mel_db(block, version.sample_rate))
            gap += _summed_gap(logarithms[same], _logarithms(block))
            start = same.stop
        stft += math.sqrt(lost) / max(norm, FLOOR) + gap / logarithms.size
    return Distances(stft / len(RESOLUTIONS_MS), mel / reference.mel_db.size)


def _summed_gap(first: np.ndarray, second: np.ndarray) -> float:
    """Sum of absolute differences; the second array is used up."""
    second -= first
    return float(np.abs(second, out=second).sum())
