"""Takes and readings: what generations gave, and how they stand in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from studio.audio import Audio, joined, silence
from studio.codes import Codes
from studio.conversation import Conversation
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

    @classmethod
    def one_after_another(
        cls,
        conversation: Conversation,
        spoken: Sequence[tuple[tuple[int, ...], Take]],
        sampling: Sampling,
        compute_seconds: float,
    ) -> "Reading":
        """Place takes in order with a gap of silence between them, every start on a whole frame."""
        placements: list[Placement] = []
        frame = 0
        for lines, take in spoken:
            placements.append(Placement(take, lines, frame))
            frame += take.codes.frames + round(GAP_SECONDS * take.codes.frame_rate)
        return cls(conversation, tuple(placements), sampling, compute_seconds)

    @property
    def duration_seconds(self) -> float:
        """Length of the whole."""
        return self.placements[-1].stop_seconds if self.placements else 0.0

    @property
    def rtf(self) -> float:
        """Compute seconds per second of audio."""
        return self.compute_seconds / self.duration_seconds if self.duration_seconds else 0.0

    @property
    def audio(self) -> Audio:
        """The takes with silence between them, at their own level."""
        parts: list[Audio] = []
        end = 0.0
        for placement in self.placements:
            if placement.start_seconds > end:
                parts.append(silence(placement.start_seconds - end, placement.take.audio.sample_rate))
            parts.append(placement.take.audio)
            end = placement.stop_seconds
        return joined(parts)

    @property
    def stops(self) -> tuple[Stop, ...]:
        """Why each take ended, in order."""
        return tuple(placement.take.stop for placement in self.placements)

    def line_number(self, index: int) -> int:
        """The number a person knows a line by: its row on the page, else its place in the conversation."""
        return self.conversation.lines[index].number or index + 1

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
                    "lines": [self.line_number(index) for index in placement.lines],
                    "speakers": sorted({names[self.conversation.lines[index].speaker] for index in placement.lines}),
                    "start": round(placement.start_seconds, 3),
                    "end": round(placement.stop_seconds, 3),
                    "frames": placement.take.codes.frames,
                    "seed": placement.take.sampling.seed,
                    "stop": placement.take.stop.value,
                    "prompt_tokens": placement.take.prompt_tokens,
                    "codes_sha256": placement.take.codes.fingerprint[:16],
                }
                for placement in self.placements
            ],
        }
