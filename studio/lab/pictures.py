"""Pictures of sound and codes as small arrays of bytes; the page paints them on one time axis."""

import base64
from typing import Any

import librosa
import numpy as np

from studio.audio import Audio
from studio.codes import Codes

MEL_BINS = 96
FFT_SECONDS = 0.043  # window: 1024 samples at 24 kHz
SHORTEST_FFT = 1_024  # zero-padded up to this, or narrow bands would fall between its lines
LONGEST_WIDTH = 1_500  # columns: finer than any screen shows at once
SHOWN_RANGE_DB = 80.0


def mel_picture(audio: Audio) -> np.ndarray:
    """Log-mel spectrogram in 256 steps: 0 is 80 dB below the reference level or less, 255 the reference.

    The reference is fixed (a full-scale sine in the middle of a band, 0 dB), so pictures of two sounds compare.

    Args:
        audio: What to show; mixed to mono. The highest band ends at half its sample rate.

    Returns:
        uint8 `[MEL_BINS, columns]`, lowest band first, at most `LONGEST_WIDTH` columns.
    """
    samples = audio.mono().samples[0]
    window = max(256, 2 ** round(np.log2(FFT_SECONDS * audio.sample_rate)))
    hop = window // 4
    size = max(window, SHORTEST_FFT)
    top_hz = audio.sample_rate / 2
    bands = librosa.filters.mel(sr=audio.sample_rate, n_fft=size, n_mels=MEL_BINS, fmax=top_hz, norm=None)
    padded = np.pad(samples, (0, max(0, size - samples.size)))
    power = np.abs(librosa.stft(padded, n_fft=size, hop_length=hop, win_length=window)) ** 2
    power = power[:, : 1 + samples.size // hop]
    centres_hz = librosa.mel_frequencies(MEL_BINS + 2, fmax=top_hz)[1:-1]
    away_hz = librosa.fft_frequencies(sr=audio.sample_rate, n_fft=size) - centres_hz[:, None]
    reference = (bands * _hann_lobe(away_hz * window / audio.sample_rate) ** 2).sum(axis=1) * (window / 4) ** 2
    decibels = 10 * np.log10(np.maximum(bands @ power / reference[:, None], 1e-12))
    steps = np.clip((decibels + SHOWN_RANGE_DB) / SHOWN_RANGE_DB, 0, 1) * 255
    return _narrowed(np.round(steps).astype(np.uint8))


def prepare() -> None:
    """Have librosa compile what it draws with, so that nobody waits for it: once on a machine, some twenty seconds."""
    mel_picture(Audio(np.zeros((1, SHORTEST_FFT), np.float32), 24_000))


def _narrowed(picture: np.ndarray) -> np.ndarray:
    """At most `LONGEST_WIDTH` columns, each the loudest of those it stands for: nothing short goes missing."""
    columns = picture.shape[1]
    if columns <= LONGEST_WIDTH:
        return picture
    return np.maximum.reduceat(picture, np.linspace(0, columns, LONGEST_WIDTH, endpoint=False).astype(int), axis=1)


def _hann_lobe(bins: np.ndarray) -> np.ndarray:
    """Amplitude of a sine seen through a Hann window, so many bins away from it; 1 at 0."""
    return np.sinc(bins) + (np.sinc(bins - 1) + np.sinc(bins + 1)) / 2


def mel_for_page(audio: Audio) -> dict[str, Any]:
    """The mel picture as the page takes it: base64 rows, lowest band first."""
    picture = mel_picture(audio)
    return {"rows": picture.shape[0], "columns": picture.shape[1], "bytes": _base64(picture)}


def codes_for_page(codes: Codes) -> dict[str, Any]:
    """A code map as the page takes it: base64 little-endian uint16 `[K, T]`, codebook 0 first."""
    dtype = "<u2" if codes.codebook_size <= 2**16 else "<u4"
    return {
        "rows": codes.codebooks,
        "columns": codes.frames,
        "size": codes.codebook_size,
        "frame_rate": codes.frame_rate,
        "bytes": _base64(codes.values.astype(dtype)),
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
