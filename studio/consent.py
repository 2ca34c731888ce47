"""Consent: whose voice a reference is, who allowed its use and for what, kept with the voice wherever it goes."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from studio.errors import BadConversation
from studio.text import check_length, clean, speakable

MAX_NAME_CHARACTERS = 120
MAX_STATEMENT_CHARACTERS = 1_000
SHA256 = re.compile(r"[0-9a-f]{64}|")
NEEDED = (
    "Say whose voice it is, who says so, and what it may be used for: a voice is only spoken with when its owner "
    "agreed."
)
PARTS = {"whose": "whose voice", "said_by": "who says so", "statement": "what it may be used for"}


@dataclass(frozen=True)
class Consent:
    """A statement that a voice may be used. Kept as it was given; the studio cannot know whether it is true."""

    whose: str  # the person who is heard
    said_by: str  # who gave this statement: that person, or somebody who may speak for them
    statement: str  # that it may be used, and for what
    date: str  # YYYY-MM-DD, when it was said
    recording: str = ""  # SHA-256 of the file of a spoken statement, if there is one

    @classmethod
    def read(cls, data: Any) -> "Consent":
        """Read what a person filled in, or what a file holds.

        Raises:
            BadConversation: something is missing, too long, or no date.
        """
        names = ("whose", "said_by", "statement", "date", "recording")
        given = data if isinstance(data, dict) else {}
        values = {name: _text(given.get(name)) for name in names}
        for name, what in (("whose", "Whose voice it is"), ("said_by", "Who says so")):
            check_length(values[name], what, MAX_NAME_CHARACTERS)
        check_length(values["statement"], "The statement", MAX_STATEMENT_CHARACTERS)
        missing = [f"{what} ({name})" for name, what in PARTS.items() if not speakable(values[name])]
        if missing:
            raise BadConversation(f"{NEEDED} Missing: {', '.join(missing)}.")
        _check_date(values["date"])
        if not SHA256.fullmatch(values["recording"]):
            raise BadConversation("The fingerprint of the spoken statement is no SHA-256. Attach the recording again.")
        return cls(**values)

    @property
    def sentence(self) -> str:
        """For the card of a checkpoint that has learnt the voice."""
        return f"The voice is that of {self.whose}. {self.said_by} said on {self.date}: “{self.statement}”"

    def as_json(self) -> dict[str, str]:
        """The object that is written into files."""
        return asdict(self)


def _text(value: Any) -> str:
    return " ".join(clean(value).split()) if isinstance(value, str) else ""


def _check_date(text: str) -> None:
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else None
    except ValueError:
        day = None
    if day is None:
        given = f", not “{text[:40]}”" if text else ""
        raise BadConversation(f"Give the day on which it was said as year-month-day, for example 2026-03-31{given}.")
    if day > datetime.now(UTC).date() + timedelta(days=1):  # it may be tomorrow where the speaker lives
        raise BadConversation(f"{text} is in the future: consent must have been given before the voice is used.")


def today() -> str:
    """The present day, as the form begins with it."""
    return datetime.now(UTC).date().isoformat()
