"""Short-time spectra of a sound, and two distances between them. Windows are in milliseconds, so that sounds of any
sample rate are looked at alike.
"""

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


class Spectra:
    """Magnitude spectra of one sound at three resolutions, and its mel bands. Computed when first asked for."""

    def __init__(self, audio: Audio) -> None:
        self.audio = audio.mono()

    @cached_property
    def magnitudes(self) -> tuple[np.ndarray, ...]:
        """One magnitude spectrum a resolution. A sine of amplitude 1 gives 1. Shape: float32 [T, F] each."""
        rate = self.audio.sample_rate
        return tuple(
            _magnitudes(self.audio.samples[0], round(window * rate / 1000), round(hop * rate / 1000))
            for window, hop in RESOLUTIONS_MS
        )

    @cached_property
    def logarithms(self) -> tuple[np.ndarray, ...]:
        """Natural logarithm of each magnitude spectrum, from the floor up. Shape: float32 [T, F] each."""
        return tuple(np.log(np.maximum(magnitudes, FLOOR)) for magnitudes in self.magnitudes)

    @cached_property
    def mel_db(self) -> np.ndarray:
        """Energy in 80 mel bands from 0 Hz to half the rate, in dB, floor -80. Shape: float32 [T, 80]."""
        magnitudes = self.magnitudes[MEL_RESOLUTION]
        energies = np.square(magnitudes) @ _mel_weights(self.audio.sample_rate, magnitudes.shape[1])
        decibels: np.ndarray = 10 * np.log10(np.maximum(energies, FLOOR**2))
        return decibels


def _magnitudes(samples: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Shape: float32 [N] to [T, F], zeros beyond both ends, the window hardly padded."""
    taper = scipy.signal.get_window("hann", window).astype(np.float32)
    padded = np.pad(samples, (window // 2, window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[: len(samples) + 1 : hop]
    size = scipy.fft.next_fast_len(window, real=True)
    magnitudes: np.ndarray = np.abs(scipy.fft.rfft(frames * (taper * np.float32(2 / taper.sum())), size, axis=1))
    return magnitudes


@lru_cache
def _mel_weights(sample_rate: int, lines: int) -> np.ndarray:
    """Triangles of equal height 1 on Slaney's mel scale. Shape: float32 [F, 80]."""
    import librosa

    weights = librosa.filters.mel(sr=sample_rate, n_fft=2 * (lines - 1), n_mels=MEL_BANDS, norm=None)
    return np.ascontiguousarray(weights.T, np.float32)


def stft_distance(reference: Spectra, version: Spectra) -> float:
    """Multi-resolution STFT distance.

    Source: Yamamoto, Song, Kim, "Parallel WaveGAN", ICASSP 2020: spectral convergence plus mean absolute difference
    of log magnitudes, mean over three resolutions; windows of 10, 25 and 50 ms and a floor of -80 dBFS instead of
    numbers of samples. No unit. Range: 0 (equal) and up. Lower is better.
    """
    distances = [
        float(np.linalg.norm(x - y) / max(float(np.linalg.norm(x)), FLOOR)) + float(np.abs(log_x - log_y).mean())
        for x, y, log_x, log_y in zip(
            reference.magnitudes, version.magnitudes, reference.logarithms, version.logarithms, strict=True
        )
    ]
    return sum(distances) / len(distances)


def log_mel_distance(reference: Spectra, version: Spectra) -> float:
    """Mean absolute difference of mel bands in dB.

    Source: as used for codecs by DAC (Kumar et al., NeurIPS 2023) and others, with one resolution (50 ms), 80 bands
    from 0 Hz to half the rate, and a floor of -80 dBFS. Unit: dB. Range: 0 (equal) to about 80. Lower is better.
    """
    return float(np.abs(reference.mel_db - version.mel_db).mean())
