"""Text from people: made harmless and comparable before anything reads it."""

import re
import unicodedata

from studio.errors import BadConversation

MAX_CONVERSATION_CHARACTERS = 10_000
CONTROL_TOKEN = re.compile(r"<\|[^|<>\s]{1,60}\|>")


def clean(text: str) -> str:
    """Normalise (NFC) and drop what cannot be seen or said: NUL, controls, zero-width and direction marks.

    Line breaks and tabs stay. The joiners of Indic scripts and emoji (U+200C, U+200D) stay too, since
    they change what is read. Never fails, whatever the string holds.
    """
    readable = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "ignore").decode("utf-8")
    kept = (
        char
        for char in readable
        if char in "\n\t\u200c\u200d" or unicodedata.category(char) not in ("Cc", "Cf", "Cn", "Co", "Cs")
    )
    return unicodedata.normalize("NFC", "".join(kept))


def speakable(text: str) -> bool:
    """Whether there is a letter or a number to speak, in any script."""
    return any(unicodedata.category(char)[0] in "LN" for char in text)


def control_tokens(text: str) -> list[str]:
    """What looks like one of the model's control tokens. It is harmless here, and worth a note."""
    return CONTROL_TOKEN.findall(text)


def check_length(text: str, what: str, most: int = MAX_CONVERSATION_CHARACTERS) -> None:
    """Refuse a text that is too long to be meant.

    Raises:
        BadConversation: with both counts.
    """
    if len(text) > most:
        raise BadConversation(f"{what} has {len(text):,} characters; at most {most:,} are taken. Split it up.")
