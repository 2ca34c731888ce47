"""Who spoke: each line against every voice of the cast, measured from the sound itself.

There is no learnt embedding here: nothing well kept carries its weights along. A voice is described by its mean
mel-frequency cepstrum over the loud frames (the shape of the vocal tract, whatever the level) and by the median pitch
of the voiced ones; distances count in the voices' own spread. Of the eight bundled voices,
half a recording (1.2 to 1.7 s) is told from the other seven voices 6 times of 8, and from any single one 93 times of
100; on their codec round trips 5 times of 8 and 89 times of 100. Of takes of the bundled generation model, two in
three are nearest to their own of the eight. So read a match as a hint, compare within the cast, and never take it for
a proof of identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import librosa
import numpy as np

from studio.audio import Audio

RATE, HOP, WINDOW = 16_000, 160, 1_024
BANDS, COEFFICIENTS = 40, 20  # the first coefficient, the level, is left out
LOUDEST_DB = 30.0  # how far below the loud frames a frame may be and count
VOICED = 0.6  # correlation with the sound a period earlier
LOWEST_PITCH, HIGHEST_PITCH = 60.0, 500.0  # Hz
FEWEST_VOICED_FRAMES = 10
SEMITONES = 2.0  # of pitch weigh as much as one coefficient by its own spread
CLEAR_SHARE = 0.55  # another voice is clearly closer when its distance is this share of the own one's


@dataclass(frozen=True, eq=False)
class VoicePrint:
    """How a voice sounds on average."""

    mean: np.ndarray  # float64 [C - 1]: cepstrum over the loud frames
    spread: np.ndarray  # float64 [C - 1]: its deviation over them
    pitch: float | None  # semitones over 100 Hz; None where too little is voiced, as in a whisper

    @classmethod
    def of(cls, audio: Audio) -> "VoicePrint":
        """Measure a recording of a second or more."""
        samples = audio.mono().resampled(RATE).samples[0]
        samples = np.pad(samples, (0, max(0, WINDOW - len(samples))))
        power = librosa.feature.melspectrogram(
            y=samples, sr=RATE, n_fft=512, hop_length=HOP, n_mels=BANDS, fmin=60, fmax=7_600
        )
        level = 10 * np.log10(power + 1e-8)
        loud = level.max(axis=0) > np.percentile(level.max(axis=0), 95) - LOUDEST_DB
        cepstrum = librosa.feature.mfcc(S=level[:, loud], n_mfcc=COEFFICIENTS)[1:]
        return cls(cepstrum.mean(axis=1), cepstrum.std(axis=1), _pitch(samples, loud))

    def distance(self, other: "VoicePrint") -> float:
        """How unlike two voices are; 0 for the same recording."""
        spread = (self.spread + other.spread) / 2 + 1e-6
        squared = float((((self.mean - other.mean) / spread) ** 2).sum())
        if self.pitch is not None and other.pitch is not None:
            squared += ((self.pitch - other.pitch) / SEMITONES) ** 2
        return squared**0.5


def _pitch(samples: np.ndarray, loud: np.ndarray) -> float | None:
    """Median pitch of the loud voiced frames, in semitones over 100 Hz."""
    found = librosa.yin(samples, fmin=LOWEST_PITCH, fmax=HIGHEST_PITCH, sr=RATE, frame_length=WINDOW, hop_length=HOP)
    frames = librosa.util.frame(np.pad(samples, WINDOW // 2), frame_length=WINDOW, hop_length=HOP).T
    count = min(len(found), len(frames), len(loud))
    pitches = [
        12 * np.log2(found[index] / 100)
        for index in np.flatnonzero(loud[:count])
        if _voiced(frames[index] - frames[index].mean(), round(RATE / found[index]))
    ]
    return float(np.median(pitches)) if len(pitches) >= FEWEST_VOICED_FRAMES else None


def _voiced(frame: np.ndarray, period: int) -> bool:
    """Whether a frame is much like itself a period earlier."""
    late, early = frame[period:], frame[:-period]
    energy = float(np.sqrt((late @ late) * (early @ early)))
    return energy > 0 and float(late @ early) / energy > VOICED


@dataclass(frozen=True, eq=False)
class SpeakerMatch:
    """Lines against the voices of the cast."""

    distances: np.ndarray  # float64 [L, S]

    @classmethod
    def of(cls, lines: Sequence[Audio], cast: Sequence[Audio]) -> "SpeakerMatch":
        """Measure.

        Args:
            lines: The takes of L lines.
            cast: A recording of each of the S voices; best its codec round trip, since lines have passed the codec.
        """
        voices = [VoicePrint.of(audio) for audio in cast]
        prints = [VoicePrint.of(audio) for audio in lines]
        rows = [[line.distance(voice) for voice in voices] for line in prints]
        return cls(np.array(rows, dtype=np.float64).reshape(len(lines), len(cast)))

    @property
    def similarity(self) -> np.ndarray:
        """What share each voice has in each line; a row adds up to 1. Shape: float64 [L, S]."""
        closeness = np.exp(-(self.distances - self.distances.min(axis=1, keepdims=True)))
        return closeness / closeness.sum(axis=1, keepdims=True)

    def swapped(self, speakers: Sequence[int]) -> dict[int, int]:
        """Lines that sound clearly more like another of the cast than like who should speak them.

        Args:
            speakers: For each line the index of the voice that it should be.

        Returns:
            Line to the voice it sounds like.
        """
        found = {}
        for line, (row, own) in enumerate(zip(self.distances, speakers, strict=True)):
            closest = int(row.argmin())
            if closest != own and row[closest] < CLEAR_SHARE * row[own]:
                found[line] = closest
        return found
