"""Takes and readings: what generations gave, and how they stand in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from studio.audio import Audio
from studio.codes import Codes
from studio.conversation import Conversation, Line
from studio.health import CodeHealth
from studio.mixing import Mixing, louder
from studio.sampling import Sampling

GAP_SECONDS = 0.36  # silence between lines, rounded to whole frames


class Stop(StrEnum):
    """Why a take ended."""

    ENDED = "end of speech"
    BUDGET = "frame budget"
    SILENCE = "silence"
    REPETITION = "repetition"
    STOPPED = "stopped"
    MUTE = "nothing said"


@dataclass(frozen=True, eq=False)
class Take:
    """What one generation gave."""

    codes: Codes
    audio: Audio
    sampling: Sampling  # with the seed this very take was drawn with
    checkpoint: str
    stop: Stop
    prompt_tokens: int
    health: CodeHealth
    compute_seconds: float = 0.0  # its share of the time of the batch it was made in, by frames
    log_likelihood: float | None = None  # nats a code, given its prompt: nearer 0 is likelier; None: not scored
    words_wrong: int | None = None  # beside the text, as a recogniser heard it; None: none was asked

    @property
    def seconds(self) -> float:
        """Length of the take."""
        return self.codes.duration_seconds


@dataclass(frozen=True, eq=False)
class Placement:
    """A take at its place: which lines it speaks, and the frame it starts at."""

    take: Take
    lines: tuple[int, ...]  # indices into the conversation; several when spoken in one breath
    start_frame: int

    @property
    def start_seconds(self) -> float:
        """When it starts."""
        return self.start_frame / self.take.codes.frame_rate

    @property
    def stop_seconds(self) -> float:
        """When it ends."""
        return (self.start_frame + self.take.codes.frames) / self.take.codes.frame_rate


@dataclass(frozen=True, eq=False)
class Reading:
    """A conversation as it was spoken: takes placed on one timeline, and how long the making took."""

    conversation: Conversation
    placements: tuple[Placement, ...]
    sampling: Sampling  # as chosen: its seed gives this reading again
    compute_seconds: float
    mixing: Mixing = Mixing()  # noqa: RUF009  a frozen value

    @classmethod
    def one_after_another(
        cls,
        conversation: Conversation,
        spoken: Sequence[tuple[tuple[int, ...], Take]],
        sampling: Sampling,
        compute_seconds: float,
    ) -> "Reading":
        """Place takes in order, each behind its pause or the usual gap of silence, every start on a whole frame."""
        placements: list[Placement] = []
        frame = 0
        for lines, take in spoken:
            frame += gap_frames(conversation.lines[lines[0]], take.codes.frame_rate, first=not placements)
            placements.append(Placement(take, lines, frame))
            frame += take.codes.frames
        return cls(conversation, tuple(placements), sampling, compute_seconds)

    @property
    def duration_seconds(self) -> float:
        """Length of the whole."""
        return max((placement.stop_seconds for placement in self.placements), default=0.0)

    @property
    def spoken_seconds(self) -> float:
        """Length of its takes, without the silences between them."""
        return sum(placement.take.seconds for placement in self.placements)

    @property
    def rtf(self) -> float:
        """Compute seconds per second of audio."""
        return self.compute_seconds / self.duration_seconds if self.duration_seconds else 0.0

    @cached_property
    def stems(self) -> dict[tuple[int, ...], Audio]:
        """The sound of each speaker over the whole length, by their indices (several, who speak in one breath).

        They sum to the mix. Shape: float32 `[1, N]` each.
        """
        return {speakers: louder(audio, self.level_db) for speakers, audio in self._unlevelled.items()}

    @cached_property
    def level_db(self) -> float:
        """The gain on everything that brings the mix to its loudness."""
        return self.mixing.level_db(_sum(list(self._unlevelled.values())))

    @cached_property
    def _unlevelled(self) -> dict[tuple[int, ...], Audio]:
        return {speakers: self._stem(speakers) for speakers in sorted({self.speakers(one) for one in self.placements})}

    def heard(self, placement: Placement) -> Audio:
        """The sound of one take as the mix holds it: with its fades and gains. Shape: float32 `[1, N]`."""
        return louder(self._gained(placement), self.level_db)

    def _gained(self, placement: Placement) -> Audio:
        speakers = self.speakers(placement)
        gain = self.mixing.gain_db(speakers[0]) if len(speakers) == 1 else 0.0
        return louder(self.mixing.joined(placement.take.audio), gain)

    @cached_property
    def audio(self) -> Audio:
        """The mix: all takes at their times, with silence between them. Shape: float32 `[1, N]`."""
        return _sum(list(self.stems.values()))

    def speakers(self, placement: Placement) -> tuple[int, ...]:
        """Who speaks a take, by their indices in the cast."""
        return tuple(sorted({self.conversation.lines[index].speaker for index in placement.lines}))

    def _stem(self, speakers: tuple[int, ...]) -> Audio:
        rate = self.placements[0].take.audio.sample_rate
        length = max(self._start(one) + one.take.audio.length for one in self.placements)
        samples = np.zeros((1, length), np.float32)
        for one in self.placements:
            if self.speakers(one) == speakers:
                take = self._gained(one)
                samples[:, self._start(one) : self._start(one) + take.length] += take.samples
        return Audio(samples, rate)

    @staticmethod
    def _start(placement: Placement) -> int:
        return round(placement.start_seconds * placement.take.audio.sample_rate)

    @property
    def stops(self) -> tuple[Stop, ...]:
        """Why each take ended, in order."""
        return tuple(placement.take.stop for placement in self.placements)

    def facts(self) -> dict[str, Any]:
        """What is worth knowing about it, ready for JSON. Times in seconds."""
        first = self.placements[0].take
        names = [speaker.name for speaker in self.conversation.speakers]
        return {
            "checkpoint": first.checkpoint,
            "seed": self.sampling.seed,
            "temperature": self.sampling.temperature,
            "duration_seconds": round(self.duration_seconds, 3),
            "compute_seconds": round(self.compute_seconds, 3),
            "rtf": round(self.rtf, 3),
            "sample_rate": first.audio.sample_rate,
            "frame_rate": first.codes.frame_rate,
            "bitrate_kbps": round(first.codes.bitrate_kbps, 3),
            "stop": sorted({stop.value for stop in self.stops}),
            "takes": [
                {
                    "lines": [self.conversation.line_number(index) for index in placement.lines],
                    "speakers": sorted({names[index] for index in self.speakers(placement)}),
                    "start": round(placement.start_seconds, 3),
                    "end": round(placement.stop_seconds, 3),
                    "frames": placement.take.codes.frames,
                    "seed": placement.take.sampling.seed,
                    "stop": placement.take.stop.value,
                    "prompt_tokens": placement.take.prompt_tokens,
                    "passed": placement.take.health.passed,
                    "findings": list(placement.take.health.reasons),
                    "log_likelihood": _rounded(placement.take.log_likelihood),
                    "codes_sha256": placement.take.codes.fingerprint[:16],
                }
                for placement in self.placements
            ],
        }


def gap_frames(line: Line, frame_rate: float, *, first: bool) -> int:
    """Frames of silence before a line: its own pause, else the usual gap, which the first line has not."""
    usual = 0.0 if first else GAP_SECONDS
    return round((usual if line.pause is None else line.pause) * frame_rate)


def _sum(parts: Sequence[Audio]) -> Audio:
    return Audio(np.add.reduce([part.samples for part in parts]), parts[0].sample_rate)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
