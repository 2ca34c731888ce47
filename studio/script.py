"""Script text ⇄ lines: `Name: text` or `[SPEAKER0] text`, and `---` between conversations.

Text that follows without a tag goes on with the line above it.
"""

import re
from collections.abc import Sequence

from studio.conversation import MAX_SPEAKERS, Line
from studio.errors import BadConversation
from studio.pauses import without_pauses
from studio.text import check_length, clean

DIVIDER = re.compile(r"-{3,}|—{2,}|\*{3,}")
TAG = re.compile(r"\[\s*speaker\s*(\d{1,4})\s*\]\s*(.*)", re.IGNORECASE)
NAME = r"[^:：\n]{1,40}"
NAMED = re.compile(rf"({NAME})([:：]\s*)(.*)")
LOOKS_LIKE_A_NAME = re.compile(r"[^\W\d_a-z][\w.'’-]*(?:\s+[\w.'’-]+){0,2}$")
LONGEST_SCRIPT = 40_000  # characters, tags and names included
MOST_PROBLEMS = 8  # told at once

Part = Line | None  # None stands for a divider


class UnknownSpeakers(BadConversation):
    """A script names people who are not in the cast."""

    def __init__(self, message: str, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = tuple(names)  # in the order in which they first speak


def parse_script(script: str, names: Sequence[str]) -> list[Part]:
    """Read a script.

    Args:
        script: The text, one or more lines of text per spoken line.
        names: The cast, in order: `[SPEAKER0]` is the first of them.

    Returns:
        Lines and dividers, in order. `Line.number` is the line of the script it starts in.

    Raises:
        BadConversation: every line that cannot be understood, with its number and what to do; an unknown speaker
            once, where they first speak (`UnknownSpeakers`).
    """
    check_length(script, "The script", LONGEST_SCRIPT)
    if len(names) > MAX_SPEAKERS:
        raise BadConversation(f"There are {len(names)} speakers; at most {MAX_SPEAKERS} can take part.")
    if not names and script.strip():
        raise BadConversation("There is nobody in the cast. Add a speaker first.")
    folded = [_plain(name).casefold() for name in names]
    parts: list[Part] = []
    problems: list[str] = []
    unknown: dict[str, str] = {}  # by how the name reads: the name as it was typed first
    for number, raw in enumerate(clean(script).split("\n"), 1):
        text = raw.strip()
        if not text:
            continue
        if DIVIDER.fullmatch(text):
            parts.append(None)
            continue
        try:
            found = _tagged(text, number, folded)
        except BadConversation as problem:
            problems += _news(problem, unknown)
            continue
        if found:
            parts.append(found)
        elif parts and parts[-1] is not None:  # a pause, too: the line above ends with it
            above = parts[-1]
            parts[-1] = Line(above.speaker, f"{above.text} {text}", above.number)
        elif len(names) == 1 or not without_pauses(text):  # a pause before the first line is nobody's
            parts.append(Line(0, text, number))
        elif not problems:
            problems.append(f"Line {number} has no speaker. Begin it with “{names[0]}:” or [SPEAKER0].")
    if problems:
        raise UnknownSpeakers(_told(problems), list(unknown.values()))
    return parts


def _news(problem: BadConversation, unknown: dict[str, str]) -> list[str]:
    """What is to be told of a line that cannot be understood: an unknown speaker only where they first speak."""
    if isinstance(problem, UnknownSpeakers):
        (name,) = problem.names
        if name.casefold() in unknown:
            return []
        unknown[name.casefold()] = name
    return [str(problem)]


def _told(problems: Sequence[str]) -> str:
    more = len(problems) - MOST_PROBLEMS
    return "\n".join([*problems[:MOST_PROBLEMS], *([f"And {more} more."] if more > 0 else [])])


def _tagged(text: str, number: int, folded: Sequence[str]) -> Line | None:
    """The line that a tag or one of the folded names opens; None where there is neither."""
    if tag := TAG.match(text):
        speaker = int(tag[1])
        if speaker >= len(folded):
            raise BadConversation(
                f"Line {number} names [SPEAKER{speaker}], but the cast ends at [SPEAKER{len(folded) - 1}]. "
                "Add a speaker or change the tag."
            )
        return Line(speaker, tag[2], number)
    named = NAMED.match(text)
    if not named:
        return None
    name = _plain(named[1])
    matches = [index for index, known in enumerate(folded) if known == name.casefold()]
    if len(matches) == 1:
        return Line(matches[0], named[3], number)
    if len(matches) > 1:
        raise BadConversation(f"Line {number}: several speakers are called “{name}”. Rename them, or write [SPEAKER0].")
    stands_apart = named[2] != ":" or not named[3]  # unlike the colon in 12:30 or http://
    if stands_apart and LOOKS_LIKE_A_NAME.match(name):
        words = f"Line {number} is spoken by “{name}”, who is not in the cast. Add or rename a speaker."
        raise UnknownSpeakers(words, [name])
    return None


def print_script(parts: Sequence[Part], names: Sequence[str]) -> str:
    """Write lines and dividers so that `parse_script` gives them back."""
    folded = [_plain(name).casefold() for name in names]
    return "\n".join("---" if part is None else f"{_mark(part.speaker, names, folded)} {part.text}" for part in parts)


def _mark(speaker: int, names: Sequence[str], folded: Sequence[str]) -> str:
    """The name where it is plain and belongs to one speaker only, else the tag."""
    if speaker < len(names):
        name = _plain(names[speaker])
        if re.fullmatch(NAME, name) and not TAG.match(name) and folded.count(name.casefold()) == 1:
            return f"{name}:"
    return f"[SPEAKER{speaker}]"


def _plain(name: str) -> str:
    """A name as it reads: what cannot be seen, and how it was typed, makes no other name of it."""
    return " ".join(clean(name).split())
