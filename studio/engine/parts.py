"""Parts: a request taken apart into generations, and which of them must wait for which.

A part is one line, or a whole conversation spoken in one breath. It waits for another part only where that one's
codes stand in its prompt: as an earlier line of the dialogue, or as the voice of a speaker who has no reference.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np

from studio.codes import Codes
from studio.conversation import Conversation, Line
from studio.sampling import Sampling
from studio.speech import Place, SpeechRequest, best_of
from studio.takes import Stop, Take
from studio.voices import Reference


@dataclass(eq=False)
class Attempt:
    """One take on its way."""

    sampling: Sampling
    frames: int = 0
    values: Callable[[], np.ndarray] | None = None  # its codes so far, int64 [K, T]
    coming: "Future[Take] | None" = None  # its sound is being made
    take: Take | None = None
    again: bool = False  # it ended before it began, and has been given another seed


@dataclass(frozen=True, eq=False)
class Earlier:
    """A line whose codes stand in the prompt of another: kept from before, or spoken in this very request."""

    index: int
    line: Line
    kept: Codes | None = None
    part: "Part | None" = None

    @property
    def codes(self) -> Codes | None:
        """Its codes; None while it is not spoken, and if nothing was heard."""
        if self.kept is not None:
            return self.kept
        take = self.part.best if self.part else None
        return take.codes if take and take.codes.frames else None

    @property
    def reference(self) -> Reference | None:
        """The line as a recording with its transcript."""
        codes = self.codes
        return None if codes is None else Reference("earlier line", self.line.said, codes=codes)


@dataclass(eq=False)
class Part:
    """Lines that are generated together, and their takes."""

    conversation: int
    lines: tuple[int, ...]
    spoken_as: Conversation
    sampling: Sampling  # of take 0
    voice: Earlier | None = None  # the line that a speaker without reference sounds like
    context: tuple[Earlier, ...] = ()  # oldest first
    only_take: bool = True  # whatever comes of its first take, there will be no other
    closed: bool = False  # no further take of it will be made
    wave: int = 0  # how many rounds of generation come before it
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What it says, as the model reads it."""
        return "\n".join(self.spoken_as.lines[index].said for index in self.lines)

    @property
    def takes(self) -> tuple[Take, ...]:
        """What is finished, silent and mute takes included."""
        return tuple(attempt.take for attempt in self.attempts if attempt.take)

    @property
    def heard(self) -> tuple[Take, ...]:
        """The takes with anything to hear."""
        return tuple(take for take in self.takes if take.codes.frames)

    @property
    def best(self) -> Take | None:
        """The best of what was heard."""
        return self.heard[best_of(self.heard)] if self.heard else None

    @property
    def settled(self) -> bool:
        """Whether its best take is known for good."""
        if self.only_take and self.attempts and (take := self.attempts[0].take):
            return take.stop != Stop.MUTE or self.attempts[0].again
        return self.closed

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it."""
        return any(take.stop == Stop.STOPPED for take in self.takes)

    def begin(self, count: int) -> None:
        """Have `count` more takes made."""
        first = len(self.attempts)
        self.attempts += [Attempt(self.sampling.for_take(index)) for index in range(first, first + count)]

    def among(self, count: int, with_voice: bool) -> tuple[Conversation, list[tuple[int, Reference]]]:
        """What is asked of the model with the last `count` lines of context before it.

        Args:
            count: How many of the earlier lines are taken.
            with_voice: Whether a speaker without reference gets the voice of the line this part follows.

        Returns:
            The lines with those who take part, and the earlier lines: who says each in that cast, and its recording.
        """
        known = [(item, item.reference) for item in self.context[len(self.context) - count :]]
        earlier = [(item, reference) for item, reference in known if reference is not None]
        own = tuple(self.spoken_as.lines[index] for index in self.lines)
        every = (*(item.line for item, _ in earlier), *own)
        cast = replace(self.spoken_as, lines=every).with_speaking_cast()
        said = [(cast.lines[place].speaker, reference) for place, (_, reference) in enumerate(earlier)]
        asked = replace(cast, lines=cast.lines[len(earlier) :])
        stands_there = self.voice is not None and self.voice.index in [item.index for item, _ in earlier]
        if with_voice and self.voice and not stands_there:
            asked = _speaking_like(asked, asked.lines[0].speaker, self.voice.reference)
        return asked, said


def _speaking_like(conversation: Conversation, index: int, reference: Reference | None) -> Conversation:
    """The conversation with a reference for one of its speakers."""
    if reference is None:
        return conversation
    speakers = list(conversation.speakers)
    voice = replace(speakers[index].voice, reference=reference)
    speakers[index] = replace(speakers[index], voice=voice)
    return replace(conversation, speakers=tuple(speakers))


def parts_of(request: SpeechRequest) -> list[Part]:
    """The generations a request takes, in the order of the script."""
    return [part for index in range(len(request.conversations)) for part in _parts(request, index)]


def _parts(request: SpeechRequest, index: int) -> Iterator[Part]:
    conversation = request.conversations[index]
    only_take = request.takes == 1 and request.most_takes <= 1
    wanted = [number for number in range(len(conversation.lines)) if request.wants(index, number)]
    if request.way == "breath":
        if wanted:
            every = tuple(range(len(conversation.lines)))
            yield Part(index, every, conversation, _sampling_of(request, (index, 0)), only_take=only_take)
        return
    made: dict[int, Part] = {}
    for number in wanted:
        line = conversation.lines[number]
        kept = [place for place in _kept(request, index) if place not in wanted]
        part = Part(index, (number,), conversation, _sampling_of(request, (index, number)), only_take=only_take)
        if conversation.speakers[line.speaker].voice.reference is None:
            theirs = [place for place in (*kept, *made) if conversation.lines[place].speaker == line.speaker]
            if theirs:
                part.voice = _earlier(request, index, theirs[0], made)
        before = range(max(0, number - request.context), number)
        part.context = tuple(_earlier(request, index, place, made) for place in before if place in (*kept, *made))
        before_it = [item.part.wave for item in (part.voice, *part.context) if item and item.part]
        part.wave = 1 + max(before_it, default=-1)
        made[number] = part
        yield part


def _kept(request: SpeechRequest, index: int) -> Sequence[int]:
    """The lines of a conversation whose codes are kept, in order."""
    return sorted(line for conversation, line in request.spoken if conversation == index)


def _earlier(request: SpeechRequest, index: int, number: int, made: dict[int, Part]) -> Earlier:
    line = request.conversations[index].lines[number]
    if number in made:
        return Earlier(number, line, part=made[number])
    return Earlier(number, line, kept=request.spoken[index, number])


def _sampling_of(request: SpeechRequest, place: Place) -> Sampling:
    seed = request.seeds.get(place)
    return request.sampling.for_line(place[1]) if seed is None else request.sampling.with_seed(seed)
