"""What an engine is to the rest of the studio: conversations in, progress out, readings at the end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from studio.conversation import Conversation
from studio.sampling import Sampling
from studio.takes import Reading

Way = Literal["lines", "breath"]
LineState = Literal["waiting", "speaking", "done", "flagged"]


@dataclass(frozen=True)
class LineProgress:
    """How far the lines of one generation are."""

    conversation: int
    lines: tuple[int, ...]
    frames: int
    state: LineState


@dataclass(frozen=True)
class Progress:
    """How far the whole is, after some frame."""

    lines: tuple[LineProgress, ...]
    expected_frames: int
    frame_rate: float  # Hz
    elapsed_seconds: float

    @property
    def frames(self) -> int:
        """Frames so far, over all lines."""
        return sum(line.frames for line in self.lines)

    @property
    def audio_seconds(self) -> float:
        """Seconds of speech so far, over all lines."""
        return self.frames / self.frame_rate

    @property
    def seconds_left(self) -> float | None:
        """Guess of the remaining time from the pace so far; None before there is a pace."""
        if self.frames < 5:
            return None
        return self.elapsed_seconds / self.frames * max(0, self.expected_frames - self.frames)


class SpeechEngine(Protocol):
    """What speaks: here, in another process, or on another machine."""

    def speak(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        way: Way = "lines",
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Progress | list[Reading]]:
        """Yield progress after every frame, and last of all one reading for each conversation that was heard."""
        ...
