"""Pauses typed into a script: `[pause 1.5 s]` at the beginning or end of a line is silence before what comes next.

They are taken out before anything is spoken, so that no model reads them. `editor.js` knows the same pattern.
"""

import re
from dataclasses import dataclass

PAUSE = re.compile(r"\[\s*pause\s*:?\s*(\d{1,5}(?:[.,]\d{1,3})?)\s*(ms|s|seconds?)?\s*\]", re.IGNORECASE)
LOOKS_LIKE_A_PAUSE = re.compile(r"\[\s*pause\b[^\]]*\]", re.IGNORECASE)  # what is left of them was meant as one
LONGEST_PAUSE_SECONDS = 30.0  # also of several that come together


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
    parts = [Paused("")]
    start = 0
    for found in PAUSE.finditer(text):
        parts[-1] = _ended(parts[-1], text[start : found.start()])
        seconds = float(found[1].replace(",", ".")) / (1_000 if (found[2] or "s").lower() == "ms" else 1)
        if parts[-1].words:
            parts.append(Paused("", seconds))
        else:
            parts[-1] = Paused("", (parts[-1].seconds or 0.0) + seconds)
        start = found.end()
    parts[-1] = _ended(parts[-1], text[start:])
    return parts


def _ended(part: Paused, words: str) -> Paused:
    return Paused(words.strip(), part.seconds)


def without_pauses(text: str) -> str:
    """What is spoken of a text."""
    return PAUSE.sub(" ", text).strip()
