"""Health: what is wrong with a take, as far as its codes and its sound tell. No words are recognised here."""

from dataclasses import dataclass

import numpy as np

from studio.audio import Audio
from studio.codes import Codes
from studio.text import spoken_seconds

LONGEST_PERIOD = 3  # frames of the longest loop looked for
COMPARED_CODEBOOKS = 4  # a loop shows in the coarse ones; the fine ones flicker
BELOW_SPEECH_DB = 34.0  # a frame that much softer than the take's loud ones is silent
LOUD_PERCENTILE = 95

# Wide of what the bundled checkpoint does when nothing is wrong: of 240 takes (8 voices, 10 texts, temperature 0.2, 0.5
# and 1) none had a loop, the longest silences were 0.08 / 0.16 / 0.24 s, at most 21 % was silent, the entropy was at
# least 0.82 of its most, and the length was 0.61 to 1.02 of what the text should take.
LONGEST_REPEAT_SECONDS = 0.5
LONGEST_HEAD_SECONDS, LONGEST_TAIL_SECONDS, LONGEST_PAUSE_SECONDS = 0.6, 0.7, 1.2
MOST_SILENT_SHARE = 0.5
LEAST_ENTROPY_SHARE = 0.7
SHORTEST_SHARE = 0.3  # of the length the text should have
LONGEST_SHARE, LONGEST_EXTRA_SECONDS = 1.6, 1.0


@dataclass(frozen=True)
class CodeHealth:
    """Measures of one take, and what they mean."""

    seconds: float
    expected_seconds: float  # rough length of the text when spoken
    repeat_seconds: float  # longest time the coarse codes go round in a loop of 1 to 3 frames
    head_seconds: float  # silence at the beginning
    tail_seconds: float  # silence at the end
    pause_seconds: float  # longest silence in between
    silent_share: float  # of all frames
    entropy_share: float  # entropy of the first codebook, as a share of what so many frames can have
    cut_by: str = ""  # why the take was ended from outside; empty: the model ended it

    @classmethod
    def of(cls, codes: Codes, audio: Audio, text: str, cut_by: str = "") -> "CodeHealth":
        """Measure a take.

        Args:
            codes: `[K, T]`.
            audio: Their sound.
            text: What was to be said.
            cut_by: Why it was ended from outside, if it was.
        """
        quiet = silent_frames(audio, codes.frames)
        runs = _runs(quiet)
        head = runs[0][1] if runs and runs[0][0] == 0 else 0
        tail = runs[-1][1] if runs and sum(runs[-1]) == codes.frames else 0
        inner = [length for start, length in runs if start > 0 and start + length < codes.frames]
        rate = codes.frame_rate
        return cls(
            seconds=codes.duration_seconds,
            expected_seconds=spoken_seconds(text),
            repeat_seconds=longest_repeat(codes.values) / rate,
            head_seconds=head / rate,
            tail_seconds=tail / rate,
            pause_seconds=max(inner, default=0) / rate,
            silent_share=float(quiet.mean()) if codes.frames else 1.0,
            entropy_share=_entropy_share(codes),
            cut_by=cut_by,
        )

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong that can be seen."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong, in words; empty if nothing is."""
        if self.seconds == 0:
            return ("nothing was said",)
        shortest = SHORTEST_SHARE * self.expected_seconds
        longest = LONGEST_SHARE * self.expected_seconds + LONGEST_EXTRA_SECONDS
        findings = (
            (bool(self.cut_by), f"it was cut: {self.cut_by}"),
            (self.repeat_seconds > LONGEST_REPEAT_SECONDS, f"it goes round in circles for {self.repeat_seconds:.1f} s"),
            (self.silent_share > MOST_SILENT_SHARE, f"{self.silent_share:.0%} of it is silence"),
            (self.head_seconds > LONGEST_HEAD_SECONDS, f"it begins with {self.head_seconds:.1f} s of silence"),
            (self.tail_seconds > LONGEST_TAIL_SECONDS, f"it ends with {self.tail_seconds:.1f} s of silence"),
            (self.pause_seconds > LONGEST_PAUSE_SECONDS, f"it pauses for {self.pause_seconds:.1f} s"),
            (self.entropy_share < LEAST_ENTROPY_SHARE, "it hums on few codes"),
            (self.seconds < shortest, f"{self.seconds:.1f} s is too short for its text"),
            (self.seconds > longest, f"{self.seconds:.1f} s is too long for its text"),
        )
        return tuple(words for wrong, words in findings if wrong)


def silent_frames(audio: Audio, frames: int) -> np.ndarray:
    """Which frames are silent beside the take's own loud ones. Shape: bool [frames]."""
    if frames == 0:
        return np.zeros(0, bool)
    samples = audio.mono().samples[0]
    hop = max(1, len(samples) // frames)
    power = np.square(samples[: hop * frames], dtype=np.float64).reshape(frames, hop).mean(axis=1)
    loud = float(np.percentile(power, LOUD_PERCENTILE))
    return power <= max(loud * 10 ** (-BELOW_SPEECH_DB / 10), 1e-9)


def longest_repeat(values: np.ndarray) -> int:
    """Frames of the longest stretch of codes `[K, T]` that repeats the 1 to 3 frames before it."""
    longest = 0
    for period in range(1, LONGEST_PERIOD + 1):
        coarse = values[:COMPARED_CODEBOOKS]
        same = (coarse[:, period:] == coarse[:, :-period]).all(axis=0)
        longest = max([longest, *(length for _, length in _runs(same))])
    return longest


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Start and length of each run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return [(int(start), int(stop - start)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _entropy_share(codes: Codes) -> float:
    if codes.frames < 2:
        return 1.0
    most = np.log2(min(codes.frames, codes.codebook_size))
    return float(codes.entropy_bits[0] / most)
