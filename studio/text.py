"""Text from people: made harmless and comparable before anything reads it."""

import re
import unicodedata

from studio.errors import BadConversation

MAX_CONVERSATION_CHARACTERS = 10_000
SECONDS_PER_BYTE = 0.075  # of UTF-8 text at an ordinary pace: 13 Latin letters, or 4 Han characters, a second
SECONDS_PER_DIGIT = 0.25  # a digit is spoken as a word
CONTROL_TOKEN = re.compile(r"<\|[^|<>\s]{1,60}\|>")
WORDS_OF_A_LINE = 60  # where nobody has measured how long a line a checkpoint speaks reliably
LEANING_LETTERS = 3  # words as short as that mostly belong to the next one: of, the, to, und, les
SENTENCE_END, CLAUSE_END = re.compile(r"[.!?…][\"'”’)\]]*$"), re.compile(r"[,;:–—]$")


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


def slug(words: str, absent: str, longest: int = 40, *, any_script: bool = False) -> str:
    """Words as part of a file name: small letters and digits, joined by hyphens.

    Args:
        words: From anybody.
        absent: What to take instead where nothing is left of them.
        longest: How many characters at most.
        any_script: Letters of any script stay; else they become ASCII, and those that cannot are left out.
    """
    if any_script:
        plain = re.sub(r"[\W_]+", "-", words.lower())
    else:
        ascii_only = unicodedata.normalize("NFKD", words.replace("ß", "ss")).encode("ascii", "ignore").decode()
        plain = re.sub(r"[^a-z0-9]+", "-", ascii_only.lower())
    return plain.strip("-")[:longest].strip("-") or absent


def speakable(text: str) -> bool:
    """Whether there is a letter or a number to speak, in any script."""
    return any(unicodedata.category(char)[0] in "LN" for char in text)


def spoken_seconds(text: str) -> float:
    """Rough length of a text when spoken."""
    return len(text.encode()) * SECONDS_PER_BYTE + sum(map(str.isdigit, text)) * SECONDS_PER_DIGIT


def pieces_of_words(text: str, most: int) -> list[str]:
    """Cut a text into few pieces: between sentences where the limit lets it, else at commas and the like, else between
    words; of two ways that are as good, the more even one. Words are what blanks part.

    Args:
        text: One line.
        most: Words that a piece may have, at least 1.
    """
    words = text.split()
    best = [(0.0, 0)]  # for so many words: the least cost of cutting them up, and where the last piece begins
    for end in range(1, len(words) + 1):
        cut = _cut_cost(words[end - 1]) if end < len(words) else 0.0
        begins = range(max(0, end - most), end)
        best.append(min((best[begin][0] + 1 + cut + ((end - begin) / most) ** 2, begin) for begin in begins))
    pieces: list[str] = []
    end = len(words)
    while end:
        begin = best[end][1]
        pieces.append(" ".join(words[begin:end]))
        end = begin
    return pieces[::-1]


def _cut_cost(word: str) -> float:
    """What it costs to cut after a word, where a further piece costs 1."""
    if SENTENCE_END.search(word):
        return 0.0
    if CLAUSE_END.search(word):
        return 1.0
    return 3.0 if len(word) > LEANING_LETTERS else 4.0


def words_wrong(text: str, heard: str) -> int:
    """How many words must be put in, left out or changed to get from what was to be said to what was heard.

    Case and punctuation do not count. Levenshtein 1966, "Binary codes capable of correcting deletions, insertions and
    reversals".
    """
    wanted, found = (re.findall(r"[^\W_]+", part.casefold()) for part in (text, heard))
    costs = list(range(len(found) + 1))
    for row, word in enumerate(wanted, 1):
        before, costs[0] = costs[0], row
        for column, other in enumerate(found, 1):
            before, costs[column] = (
                costs[column],
                min(costs[column] + 1, costs[column - 1] + 1, before + (word != other)),
            )
    return costs[-1]


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
