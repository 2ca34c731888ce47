"""What a file of a script says, before it is known who of the cast is meant."""

from collections.abc import Sequence
from dataclasses import dataclass

from studio.errors import BadConversation
from studio.script import DIVIDER, LOOKS_LIKE_A_NAME, NAMED, TAG
from studio.text import clean

MOST_TOLD = 8


@dataclass(frozen=True)
class Said:
    """One line as a file has it."""

    text: str
    speaker: str = ""  # their name; empty where the file does not say
    seed: int | None = None
    gap_seconds: float | None = None  # silence before it; None: the usual


Part = Said | None  # None stands for a divider


def of_paragraphs(paragraphs: Sequence[str], names: Sequence[str]) -> list[Part]:
    """Lines of plain paragraphs: `Name: text` or `[SPEAKER0] text`; what has neither goes on with the line above.

    Args:
        paragraphs: The text.
        names: The present cast: its names count as names whatever they look like.
    """
    parts: list[Part] = []
    known = {name.casefold() for name in names}
    for paragraph in paragraphs:
        text = " ".join(clean(paragraph).split())
        if not text:
            continue
        if DIVIDER.fullmatch(text):
            parts.append(None)
            continue
        speaker, words = named(text, known)
        if (tag := TAG.match(text)) is not None:
            index = int(tag[1])
            speaker, words = names[index] if index < len(names) else f"Speaker {index + 1}", tag[2]
        above = parts[-1] if parts else None
        if speaker or above is None:
            parts.append(Said(words, speaker))
        else:
            parts[-1] = Said(f"{above.text} {words}".strip(), above.speaker)
    return parts


def named(text: str, known: set[str]) -> tuple[str, str]:
    """The name a text begins with, and the rest; no name where what stands before the colon is none."""
    found = NAMED.match(text)
    if not found:
        return "", text
    name = " ".join(found[1].split())
    stands_apart = found[2] != ":" or not found[3]  # unlike the colon in 12:30 or http://
    if name.casefold() in known or (stands_apart and LOOKS_LIKE_A_NAME.match(name)):
        return name, found[3]
    return "", text


def told_at_once(problems: Sequence[str]) -> None:
    """Raise all that is wrong as one message, the first of it where it is too much.

    Raises:
        BadConversation: there are problems.
    """
    if problems:
        more = len(problems) - MOST_TOLD
        told = [*problems[:MOST_TOLD], *([f"And {more} more like these."] if more > 0 else [])]
        raise BadConversation("\n".join(told))
