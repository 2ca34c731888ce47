"""SubRip and WebVTT: one line a cue, its speaker from `<v Name>` or `Name:`, gaps from its times where wanted."""

import html
import re
from collections.abc import Iterator, Sequence

from studio.pauses import LONGEST_GAP_SECONDS
from studio.script_files.said import Part, Said, named, told_at_once
from studio.text import clean, speakable

CLOCK = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[,.](\d{1,3})"
TIMES = re.compile(rf"\s*{CLOCK}\s*-+>\s*{CLOCK}(?:\s.*)?")
VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]{1,80})>")
MARKUP = re.compile(r"<[^<>]{0,200}>")
STYLING = re.compile(r"\{\\[^{}]{0,200}\}")  # {\an8} and the like
NO_CUE = ("NOTE", "STYLE", "REGION")


def of_subtitles(text: str, names: Sequence[str], *, vtt: bool, with_gaps: bool) -> list[Part]:
    """The lines of subtitles in either form.

    Args:
        text: The file.
        names: The present cast: its names count as names whatever they look like.
        vtt: Whether it is WebVTT: with voice spans, and `&amp;` for &.
        with_gaps: Take the silence before each line from the times.

    Raises:
        BadConversation: there is no cue in it, or times cannot be read; each is named by its line of the file.
    """
    known = {name.casefold() for name in names}
    parts: list[Part] = []
    problems: list[str] = []
    end: float | None = None
    for number, block in _blocks(clean(text)):
        if vtt and block[0].startswith(NO_CUE):
            continue
        at = next((index for index, row in enumerate(block[:2]) if "-->" in row), None)
        if at is None:
            if any("-->" in row for row in block):
                problems.append(f"Line {number}: the times of a cue must stand in its first or second row.")
            continue  # a header, or text between cues
        times = TIMES.fullmatch(block[at])
        if times is None:
            problems.append(f"Line {number + at}: “{block[at][:40]}” are no times like 00:00:01,000 --> 00:00:02,500.")
            continue
        start, stop = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
        said = [one for one in _said(block[at + 1 :], known, vtt=vtt) if speakable(one.text)]
        for index, one in enumerate(said):
            gap = None if end is None or index or not with_gaps else start - end
            bounded = None if gap is None else max(-LONGEST_GAP_SECONDS, min(LONGEST_GAP_SECONDS, gap))
            parts.append(Said(one.text, one.speaker, gap_seconds=bounded))
        end = stop if said else end
    told_at_once(problems)
    return parts


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows between empty rows, with the number of the first."""
    block: list[str] = []
    for number, row in enumerate([*text.split("\n"), ""], 1):
        if row.strip():
            block.append(STYLING.sub("", row).strip())
        elif block:
            yield number - len(block), block
            block = []


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{fraction}")


def _said(rows: Sequence[str], known: set[str], *, vtt: bool) -> Iterator[Said]:
    """Who says what in a cue; several where voices or dashes part it."""
    for text in _parted(rows):
        voice = VOICE.search(text) if vtt else None
        words = " ".join(MARKUP.sub("", text).split())
        if vtt:
            words = html.unescape(words)
        if voice:
            yield Said(words, " ".join(html.unescape(voice[1]).split()))
            continue
        name, spoken = named(words, known)
        yield Said(spoken, name)


def _parted(rows: Sequence[str]) -> list[str]:
    """A cue's text, parted where a row begins with a dash and before each voice span."""
    dashed = len(rows) > 1 and all(re.match(r"[-–—]\s?\S", row) for row in rows)
    texts = [row.lstrip("-–— ") for row in rows] if dashed else [" ".join(rows)]
    return [piece for text in texts for piece in re.split(r"(?=<v[.\s])", text) if piece.strip()]
