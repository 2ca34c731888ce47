"""What an engine is to the rest of the studio: a request in, progress out, spoken lines at the end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from studio.audio import Audio
from studio.codes import Codes
from studio.conversation import Conversation
from studio.errors import BadConversation, BadSetting
from studio.sampling import Sampling
from studio.takes import Reading, Take

MOST_TAKES = 16  # of one line in one request
MOST_CONTEXT = 32  # earlier lines in a prompt

Way = Literal["lines", "breath"]
Place = tuple[int, int]  # conversation, line
LineState = Literal["waiting", "speaking", "done", "flagged"]


@dataclass(frozen=True, eq=False)
class SpeechRequest:
    """What is to be spoken, and how.

    Raises:
        BadSetting: a number is out of its range.
        BadConversation: a line to be spoken does not exist, or there is none.
    """

    conversations: tuple[Conversation, ...]
    sampling: Sampling
    way: Way = "lines"
    lines: frozenset[Place] | None = None  # which lines to speak; None: all
    takes: int = 1  # takes of each line, spoken in one batch; take 0 has the seed it would have alone
    most_takes: int = 0  # further takes of lines none of whose takes passed the health check, up to so many in all
    context: int = 0  # how many earlier lines of the dialogue stand in the prompt of each line; 0: it stands alone
    spoken: Mapping[Place, Codes] = field(default_factory=dict)
    # what is kept of lines that are not spoken now: context, and the voice of a speaker without reference
    seeds: Mapping[Place, int] = field(default_factory=dict)  # of single lines; the others' follow from `sampling`
    stream: bool = False  # give pieces of sound while they are made, in the order of the script
    score: bool = False  # measure the likelihood of single takes too; several takes of a line always are

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("takes", self.takes, 1, MOST_TAKES),
            ("most_takes", self.most_takes, 0, MOST_TAKES),
            ("context", self.context, 0, MOST_CONTEXT),
        ):
            if not least <= value <= most:
                raise BadSetting(f"{name} must be between {least} and {most}, not {value}.")
        if self.lines is not None and not self.lines:
            raise BadConversation("No line is chosen. Choose what to speak.")
        for conversation, line in self.lines or ():
            if not (0 <= conversation < len(self.conversations) and self._has(conversation, line)):
                raise BadConversation(f"There is no line {line + 1} in conversation {conversation + 1}.")

    def _has(self, conversation: int, line: int) -> bool:
        return 0 <= line < len(self.conversations[conversation].lines)

    def wants(self, conversation: int, line: int) -> bool:
        """Whether this line is to be spoken."""
        return self.lines is None or (conversation, line) in self.lines


@dataclass(frozen=True)
class LineProgress:
    """How far the lines of one generation are."""

    conversation: int
    lines: tuple[int, ...]
    take_frames: tuple[int, ...]  # of each take so far
    state: LineState

    @property
    def frames(self) -> int:
        """Frames of the take that is furthest."""
        return max(self.take_frames, default=0)


@dataclass(frozen=True, eq=False)
class SoundPiece:
    """A piece of the sound while it is made: as the whole will sound there, unless the end of a take is cut off."""

    conversation: int
    lines: tuple[int, ...]
    start_frame: int  # within the take
    audio: Audio


@dataclass(frozen=True)
class Progress:
    """How far the whole is, after some frame."""

    lines: tuple[LineProgress, ...]
    expected_frames: int
    frame_rate: float  # Hz
    elapsed_seconds: float
    sound: tuple[SoundPiece, ...] = ()  # new since the last progress, in the order of the script

    @property
    def frames(self) -> int:
        """Frames so far, over all takes of all lines."""
        return sum(sum(line.take_frames) for line in self.lines)

    @property
    def audio_seconds(self) -> float:
        """Seconds of speech so far, over all takes of all lines."""
        return self.frames / self.frame_rate

    @property
    def seconds_left(self) -> float | None:
        """Guess of the remaining time from the pace so far; None before there is a pace."""
        if self.frames < 5:
            return None
        return self.elapsed_seconds / self.frames * max(0, self.expected_frames - self.frames)


@dataclass(frozen=True, eq=False)
class SpokenLines:
    """What came of one line, or of all lines of a conversation spoken in one breath."""

    conversation: int
    lines: tuple[int, ...]
    takes: tuple[Take, ...]  # those that were heard, at least one, in the order of their seeds
    best: int  # index into `takes`
    notes: tuple[str, ...] = ()  # what is worth knowing about how they were made

    @property
    def take(self) -> Take:
        """The best take."""
        return self.takes[self.best]


class SpeechEngine(Protocol):
    """What speaks: here, in another process, or on another machine."""

    def speak(
        self, request: SpeechRequest, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Progress | tuple[SpokenLines, ...]]:
        """Yield progress after every frame, and last of all what was heard, in the order of the script."""
        ...


def best_of(takes: Sequence[Take]) -> int:
    """Index of the best take: passed the health check, then fewest words wrong, findings, likeliest, first."""

    def merit(index: int) -> tuple[bool, int, int, float, int]:
        take = takes[index]
        likelihood = -float("inf") if take.log_likelihood is None else take.log_likelihood
        return take.health.passed, -(take.words_wrong or 0), -len(take.health.reasons), likelihood, -index

    return max(range(len(takes)), key=merit)


def readings_of(request: SpeechRequest, spoken: Sequence[SpokenLines]) -> list[Reading]:
    """The best takes of what came of a request, one reading for each conversation of which anything was heard."""
    readings = []
    for index, conversation in enumerate(request.conversations):
        heard = [part for part in spoken if part.conversation == index]
        if heard:
            seconds = sum(take.compute_seconds for part in heard for take in part.takes)
            placed = [(part.lines, part.take) for part in heard]
            readings.append(Reading.one_after_another(conversation, placed, request.sampling, seconds))
    return readings
