"""Verify: speak the takes of a project again with their seeds, and say whether the same codes come out.

A line that hears others is given those heard now: the takes of the lines before it, as context and as the voice of a
speaker without reference. Where other takes stood there when it was made, its codes differ though nothing is wrong;
so they may on another kind of processor or with another version of the libraries. Within one machine they are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studio.codes import Codes
from studio.conversation import Conversation
from studio.project import Asked, KeptTake, Project
from studio.sampling import Sampling
from studio.speech import Place, SpeechRequest, SpokenLines
from studio.voice_library import VoiceLibrary


@dataclass(frozen=True)
class Verdict:
    """What came of one line, or of lines in one breath."""

    lines: tuple[int, ...]  # their numbers in the script
    text: str
    same: bool | None  # None: not checked
    about: str  # in words

    @property
    def row(self) -> list[str]:
        """The cells of a table: line, text, verdict."""
        numbers = str(self.lines[0]) if len(self.lines) == 1 else f"{self.lines[0]} to {self.lines[-1]}"
        return [numbers, self.text, self.about]


@dataclass(frozen=True, eq=False)
class Check:
    """One request that speaks takes again, and the takes it should give."""

    request: SpeechRequest
    expected: dict[Place, KeptTake]


def checks_of(project: Project, voices: VoiceLibrary, checkpoint: str = "") -> tuple[list[Check], list[Verdict]]:
    """What has to be spoken again, and what cannot be checked.

    Lines that hear no others go together; each of the rest is spoken by itself, with the others as they are heard now.

    Args:
        project: The project.
        voices: The library of its voices.
        checkpoint: The one that speaks here; takes of another are not checked. Empty: all are.

    Raises:
        BadConversation: a voice of the cast is missing, so nothing can be spoken.
    """
    conversations = tuple(project.draft.conversations(voices))
    together: dict[Sampling, dict[Place, KeptTake]] = {}
    checks: list[Check] = []
    unchecked: list[Verdict] = []
    for index, conversation in enumerate(conversations):
        for first, kept in _heard(project, conversation):
            about = _hindrance(project, conversation, kept, checkpoint)
            if about:
                numbers = tuple(line.number for line in conversation.lines if line.row in kept.rows)
                unchecked.append(Verdict(numbers, kept.asked.text, None, about))
                continue
            place = (index, first)
            sampling = kept.take.sampling.with_seed(0)
            if len(kept.rows) == 1 and not _hears_others(project, conversation, first):
                together.setdefault(sampling, {})[place] = kept
            else:
                checks.append(Check(_request(project, conversations, sampling, {place: kept}), {place: kept}))
    grouped = [Check(_request(project, conversations, sampling, takes), takes) for sampling, takes in together.items()]
    return [*grouped, *checks], unchecked


def verdicts(check: Check, spoken: Sequence[SpokenLines]) -> list[Verdict]:
    """Which of the takes came out again."""
    found = {(part.conversation, part.lines[0]): part.takes[0] for part in spoken}
    result = []
    for place, kept in check.expected.items():
        lines = check.request.conversations[place[0]].lines
        numbers = tuple(line.number for line in lines if line.row in kept.rows)
        again = found.get(place)
        about = "Nothing was heard this time." if again is None else _difference(kept.take.codes, again.codes)
        result.append(Verdict(numbers, kept.asked.text, about == SAME, about))
    return result


SAME = "The same codes."


def _difference(first: Codes, second: Codes) -> str:
    if first.fingerprint == second.fingerprint:
        return SAME
    shared = min(first.frames, second.frames)
    differs = (first.values[:, :shared] != second.values[:, :shared]).any(axis=0)
    begins = int(np.argmax(differs)) if differs.any() else shared
    lengths = "" if first.frames == second.frames else f"; {second.frames} frames instead of {first.frames}"
    return f"Differs from {begins / first.frame_rate:.2f} s on{lengths}."


def _heard(project: Project, conversation: Conversation) -> list[tuple[int, KeptTake]]:
    """The takes that are heard, each with the index of its first line."""
    found: dict[str, int] = {}
    for index, line in enumerate(conversation.lines):
        take_id = project.chosen.get(line.row)
        if take_id is not None:
            found.setdefault(take_id, index)
    return [(index, project.take(take_id)) for take_id, index in found.items()]


def _hindrance(project: Project, conversation: Conversation, kept: KeptTake, checkpoint: str) -> str:
    """Why a take cannot be checked; empty if it can."""
    lines = [line for line in conversation.lines if line.row in kept.rows]
    if kept.asked != Asked.of(project.draft, lines):
        return "Not checked: the line has been changed since it was spoken."
    if len(kept.rows) > 1 and len(kept.rows) != len(conversation.lines):
        return "Not checked: it was spoken in one breath with other lines."
    if checkpoint and kept.take.checkpoint != checkpoint:
        return f"Not checked: it was spoken by {kept.take.checkpoint}; here speaks {checkpoint}."
    return ""


def _hears_others(project: Project, conversation: Conversation, index: int) -> bool:
    return project.draft.context > 0 or conversation.speakers[conversation.lines[index].speaker].voice.reference is None


def _request(
    project: Project, conversations: tuple[Conversation, ...], sampling: Sampling, takes: dict[Place, KeptTake]
) -> SpeechRequest:
    breath = any(len(kept.rows) > 1 for kept in takes.values())
    spoken: dict[Place, Codes] = {}
    if len(takes) == 1 and not breath:
        ((conversation, line),) = takes
        for earlier, kept in _heard(project, conversations[conversation]):
            if earlier < line and len(kept.rows) == 1:
                spoken[conversation, earlier] = kept.take.codes
    return SpeechRequest(
        conversations,
        sampling,
        "breath" if breath else "lines",
        lines=frozenset(takes),
        context=0 if breath else project.draft.context,
        spoken=spoken,
        seeds={place: kept.take.sampling.seed for place, kept in takes.items()},
    )
