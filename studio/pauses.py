"""Pauses typed into a script: `[pause 1.5 s]` at the beginning or end of a line is silence before what comes next.

They are taken out before anything is spoken, so that no model reads them. `editor.js` knows the same pattern.
"""

import re
from dataclasses import dataclass, replace

from studio.errors import BadConversation
from studio.text import pieces_of_words

PAUSE = re.compile(r"\[\s*pause\s*:?\s*(\d{1,5}(?:[.,]\d{1,3})?)\s*(ms|s|seconds?)?\s*\]", re.IGNORECASE)
LOOKS_LIKE_A_PAUSE = re.compile(r"\[\s*pause\b[^\]]*\]", re.IGNORECASE)  # what is left of them was meant as one
LONGEST_GAP_SECONDS = 30.0  # of silence before a line: typed in one or several pauses, set by hand, or in a file


@dataclass(frozen=True)
class Paused:
    """Words, and the silence before them."""

    words: str  # empty: the text ends with a pause
    seconds: float | None = None  # None: no pause was asked for

    @property
    def text(self) -> str:
        """As it is typed."""
        return self.words if self.seconds is None else f"{pause(self.seconds)} {self.words}".rstrip()


def pause(seconds: float) -> str:
    """A pause as it is typed."""
    return f"[pause {round(seconds, 3):g} s]"


def parted(text: str) -> list[Paused]:
    """A text cut where pauses are; several pauses without words between them are one. Never empty."""
    first, *rest = PAUSE.split(text)
    parts = [Paused(first.strip())]
    for number, unit, words in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        seconds = float(number.replace(",", ".")) / (1_000 if (unit or "s").lower() == "ms" else 1)
        if parts[-1].words:
            parts.append(Paused(words.strip(), seconds))
        else:
            parts[-1] = Paused(words.strip(), (parts[-1].seconds or 0.0) + seconds)
    return parts


def without_pauses(text: str) -> str:
    """What is spoken of a text."""
    return PAUSE.sub(" ", text).strip()


def together(one: float | None, other: float | None) -> float | None:
    """Seconds of two pauses that follow one another, no more than a gap may have; None: there is neither."""
    given = [seconds for seconds in (one, other) if seconds is not None]
    return min(sum(given), LONGEST_GAP_SECONDS) if given else None


def pieces(text: str, most_words: int) -> list[str]:
    """A text cut at its pauses, and where it is too long; a pause stays before what it was before."""
    cut: list[str] = []
    for part in parted(text):
        words = pieces_of_words(part.words, most_words)
        if words:
            cut += [replace(part, words=words[0]).text, *words[1:]]
        elif cut and part.seconds is not None:
            cut[-1] = f"{cut[-1]} {pause(part.seconds)}"
    return cut


def check_pauses(text: str, number: int) -> None:
    """Make sure that the pauses of a line can be made.

    Raises:
        BadConversation: one is too long, is written in another way, or stands within the line; names line `number`.
    """
    parts = parted(text)
    if sum(bool(part.words) for part in parts) > 1:
        raise BadConversation(
            f"Line {number} has a pause in its middle. Split it there: a pause stands at the beginning or the end of a "
            "line."
        )
    for found in LOOKS_LIKE_A_PAUSE.findall(without_pauses(text)):
        raise BadConversation(f"Line {number}: “{found[:40]}” is no pause. Write it like [pause 1.5 s].")
    longest = max(part.seconds or 0.0 for part in parts)
    if longest > LONGEST_GAP_SECONDS:
        raise BadConversation(
            f"Line {number} asks for a pause of {longest:g} s; at most {LONGEST_GAP_SECONDS:g} s are taken."
        )
