"""How alike two pieces of speech are: in their words, in their sound, in their voice. No recogniser is needed.

Words are compared by dynamic time warping (Sakoe and Chiba, 1978) over normalised mel cepstra, sound by mel-cepstral
distortion along the warped path (Kubichek, 1993), voices by a plain embedding of long-term cepstra and pitch.
"""

from collections.abc import Sequence

import librosa
import numpy as np

from studio.audio import Audio

RATE = 16_000  # Hz
HOP = 200  # samples: 12.5 ms
CEPSTRA = 13  # without the zeroth, which is loudness
SHORTEST = 2_048  # samples
VOICE_CEPSTRA = 20
PITCHES = (60.0, 450.0)  # Hz
PITCH_WEIGHT = 3.0  # of the pitch beside the cepstra, which are many


def cepstra(audio: Audio) -> np.ndarray:
    """Mel cepstra 1 to 13, every 12.5 ms. Shape: `[C, N]` samples to float32 `[frames, 13]`."""
    samples = _samples(audio)
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


def voice_embedding(audio: Audio) -> np.ndarray:
    """Mean and deviation of 20 mel cepstra over the louder frames, and the median pitch in octaves. Shape: `[41]`."""
    samples = _samples(audio)
    bands = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=512, hop_length=HOP, n_mels=40, fmin=60.0)
    loudness = librosa.power_to_db(bands.sum(0))
    louder = loudness > loudness.max() - 30
    rows = librosa.feature.mfcc(S=librosa.power_to_db(bands, top_db=60.0), n_mfcc=VOICE_CEPSTRA + 1)[1:, louder]
    pitches = librosa.yin(samples, fmin=PITCHES[0], fmax=PITCHES[1], sr=RATE, frame_length=1024, hop_length=HOP)
    pitch = np.log2(np.median(pitches[: len(louder)][louder[: len(pitches)]]))
    return np.concatenate([rows.mean(1), rows.std(1), [pitch]])


def closest_voice(embedding: np.ndarray, voices: Sequence[np.ndarray]) -> int:
    """Which of the voices an embedding is closest to, each feature measured in its deviation over the voices."""
    table = np.stack(voices)
    weights = np.ones(table.shape[1])
    weights[-1] = PITCH_WEIGHT
    distances = np.square((table - embedding) / (table.std(0) + 1e-3) * weights).sum(1)
    return int(distances.argmin())


def _samples(audio: Audio) -> np.ndarray:
    """Mono at 16 kHz, long enough to be analysed."""
    samples = audio.mono().resampled(RATE).samples[0]
    return np.pad(samples, (0, max(0, SHORTEST - len(samples))))
