"""Words that are spoken otherwise than they are written, one a line: `Nguyen = Win`.

The model reads the one, people the other: page, subtitles and reports keep what is written. `editor.js` does the same.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from studio.errors import BadConversation
from studio.text import clean, speakable

MOST_WORDS = 200
MAX_CHARACTERS = 10_000  # of all of them


@dataclass(frozen=True)
class Pronunciations:
    """Words and what is spoken instead, read from a text; lines that say nothing of the kind are passed over."""

    text: str = ""

    @cached_property
    def spoken(self) -> dict[str, str]:
        """What is spoken instead, by words in small letters; of a word that comes twice, the last."""
        return {written.casefold(): said for written, said in map(_pair, self.text.split("\n")) if written and said}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.spoken, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)

    def said(self, text: str) -> str:
        """A text as it is to be spoken: whole words replaced, whatever their case, none of them twice."""
        if not self.spoken:
            return text
        return self._pattern.sub(lambda found: self.spoken.get(found[0].casefold(), found[0]), text)

    def check(self) -> None:
        """Make sure that every line can be read.

        Raises:
            BadConversation: one cannot, or there are too many.
        """
        if len(self.text) > MAX_CHARACTERS or len(self.spoken) > MOST_WORDS:
            raise BadConversation(f"There are too many pronunciations: at most {MOST_WORDS} are taken.")
        for number, line in enumerate(self.text.split("\n"), 1):
            written, said = _pair(line)
            if line.strip() and not (written and speakable(said)):
                raise BadConversation(
                    f"Pronunciations, line {number}: “{clean(line)[:40]}” does not say how a word is spoken. Write it "
                    "like “Nguyen = Win”."
                )


def _pair(line: str) -> tuple[str, str]:
    written, _, said = clean(line).partition("=")
    return " ".join(written.split()), " ".join(said.split())
