"""How alike two pieces of speech are: in their words, in their sound. No recogniser is needed.

Words are compared by dynamic time warping (Sakoe and Chiba, 1978) over normalised mel cepstra, sound by mel-cepstral
distortion along the warped path (Kubichek, 1993). Voices are compared by `voice_measure`.
"""

from collections.abc import Sequence

import librosa
import numpy as np

from studio.audio import Audio

RATE = 16_000  # Hz
HOP = 200  # samples: 12.5 ms
CEPSTRA = 13  # without the zeroth, which is loudness
SHORTEST = 2_048  # samples


def cepstra(audio: Audio) -> np.ndarray:
    """Mel cepstra 1 to 13, every 12.5 ms. Shape: `[C, N]` samples to float32 `[frames, 13]`."""
    samples = analysed_samples(audio)
    bands = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=512, hop_length=HOP, n_mels=40, fmin=60.0)
    decibels = librosa.power_to_db(bands, top_db=60.0)
    return np.asarray(librosa.feature.mfcc(S=decibels, n_mfcc=CEPSTRA + 1)[1:].T, np.float32)


def normalised(rows: np.ndarray) -> np.ndarray:
    """Each coefficient at mean 0 and deviation 1: the voice goes, the words stay. Shape: `[frames, C]`."""
    return (rows - rows.mean(0)) / (rows.std(0) + 1e-3)


def warped(first: np.ndarray, second: np.ndarray) -> tuple[float, np.ndarray]:
    """The cheapest way to lay one over the other.

    Args:
        first: `[N, C]`.
        second: `[M, C]`.

    Returns:
        Mean distance along the way, and the way itself, int `[steps, 2]`.
    """
    costs, path = librosa.sequence.dtw(first.T, second.T, metric="euclidean")
    return float(costs[-1, -1] / len(path)), path


def word_distance(spoken: np.ndarray, candidate: np.ndarray) -> float:
    """How far apart the words of two pieces of speech are, in normalised cepstra. Shape: `[frames, 13]` twice."""
    return warped(normalised(spoken), normalised(candidate))[0]


def rank_of_first(spoken: np.ndarray, candidates: Sequence[np.ndarray]) -> int:
    """The place of the first candidate among all, by likeness to what was spoken: 1 is the most like."""
    distances = [word_distance(spoken, candidate) for candidate in candidates]
    return 1 + sum(distance < distances[0] for distance in distances[1:])


def mel_cepstral_distortion(spoken: np.ndarray, original: np.ndarray) -> float:
    """Mel-cepstral distortion in dB, frames laid over each other by warping. Shape: `[frames, 13]` twice.

    The cepstra are of decibels, with an orthonormal cosine transform: neighbouring values in the literature, made with
    other transforms, are not comparable; those of this module are.
    """
    _, path = warped(spoken, original)
    difference = spoken[path[:, 0]] - original[path[:, 1]]
    return float(np.sqrt(2 * np.square(difference / np.sqrt(40)).sum(1)).mean())


def analysed_samples(audio: Audio) -> np.ndarray:
    """Mono at 16 kHz, long enough to be analysed."""
    samples = audio.mono().resampled(RATE).samples[0]
    return np.pad(samples, (0, max(0, SHORTEST - len(samples))))
