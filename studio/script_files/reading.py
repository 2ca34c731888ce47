"""A file of a script becomes a draft: whichever kind of file it is, whoever is named in it joins the cast."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from studio.audio import shown_name
from studio.conversation import MAX_SPEAKERS
from studio.draft import MAX_ROWS, Draft, Row
from studio.errors import BadConversation
from studio.script import LONGEST_SCRIPT
from studio.script_files.documents import paragraphs_of
from studio.script_files.said import Part, Said, of_paragraphs
from studio.script_files.subtitles import of_subtitles
from studio.script_files.tables import of_table
from studio.text import check_length
from studio.voices import MAX_NAME_CHARACTERS

MAX_TEXT_BYTES = 2 * 2**20
KINDS = (".txt", ".md", ".srt", ".vtt", ".csv", ".tsv", ".docx")
OTHERS = {
    ".doc": ".docx",
    ".odt": ".docx",
    ".rtf": ".docx",
    ".pdf": ".txt",
    ".xlsx": ".csv",
    ".xls": ".csv",
    ".ass": ".srt",
}
NARRATOR = "Narrator"


@dataclass(frozen=True)
class ScriptFile:
    """What came of a file."""

    draft: Draft  # every row has an id
    gaps: dict[str, float]  # row id -> seconds of silence before it, where the file says so
    notes: tuple[str, ...]  # worth telling


def read_script_file(path: Path, draft: Draft, name: str | None = None, *, with_gaps: bool = False) -> ScriptFile:
    """Read a script from a file.

    Args:
        path: The file.
        draft: The present one: it gives scene and settings, and those of the cast who are named in the file keep
            their voices. Its rows are replaced.
        name: What the person calls the file; its ending says what it is.
        with_gaps: Take the silence between lines from the times of subtitles.

    Raises:
        StudioError: it cannot be read, with every place that is wrong; nothing has been changed.
    """
    shown = shown_name(name or path.name)
    kind = Path(shown).suffix.lower()
    if kind not in KINDS:
        better = f" Save it as {OTHERS[kind]} first." if kind in OTHERS else f" Use one of {', '.join(KINDS)}."
        raise BadConversation(f"“{shown}” is no script file that can be read.{better}")
    notes: list[str] = []
    if kind == ".docx":
        parts = of_paragraphs(paragraphs_of(path, shown), draft.names)
    else:
        text, notes = decoded(path, shown)
        if kind in (".srt", ".vtt"):
            parts = of_subtitles(text, draft.names, vtt=kind == ".vtt", with_gaps=with_gaps)
        elif kind in (".csv", ".tsv"):
            parts, left_out = of_table(text)
            notes += left_out
        else:
            parts = of_paragraphs(text.split("\n"), draft.names)
    if not any(parts):
        raise BadConversation(f"There is nothing to speak in “{shown}”. {_expected(kind)}")
    if len(parts) > MAX_ROWS:
        raise BadConversation(f"“{shown}” has {len(parts)} lines; at most {MAX_ROWS} are taken. Split it up.")
    return _joined(parts, draft, notes)


def read_script_text(text: str, draft: Draft) -> ScriptFile:
    """Read a script that is text already: `Alma: Good morning.`, one line a paragraph. Otherwise as `read_script_file`.

    Raises:
        BadConversation: there is nothing to speak in it, or too much.
    """
    check_length(text, "The script", LONGEST_SCRIPT)
    parts = of_paragraphs(text.split("\n"), draft.names)
    if not any(parts):
        raise BadConversation(f"There is nothing to speak in the text. {_expected('.txt')}")
    return _joined(parts, draft, [])


def _expected(kind: str) -> str:
    if kind in (".srt", ".vtt"):
        return "Subtitles have times (00:00:01,000 --> 00:00:02,500) and text below them."
    if kind in (".csv", ".tsv"):
        return "Its first row must name the columns speaker and text; the lines stand below."
    return "Write one line a paragraph: “Alma: Good morning.”"


def decoded(path: Path, shown: str) -> tuple[str, list[str]]:
    """The text of a file, whichever encoding it has, and a note where it had to be guessed.

    Raises:
        BadConversation: it is too large, or no text.
    """
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise BadConversation(f"“{shown}” is larger than {MAX_TEXT_BYTES // 2**20} MB; scripts are a few kB.")
    data = path.read_bytes()
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n"), []
    notes = []
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
        notes = ["It is not UTF-8, so it was read as Windows-1252: check letters with accents."]
    if "\0" in text:
        raise BadConversation(f"“{shown}” is no text file. Save it as UTF-8 text.")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _joined(parts: Sequence[Part], draft: Draft, notes: Sequence[str]) -> ScriptFile:
    """The draft with these lines and the cast they name."""
    named_speakers = zip(draft.names, draft.speakers, strict=True)
    before = {name.casefold(): speaker | {"name": name} for name, speaker in named_speakers}
    nobody = draft.names[0] if draft.names else NARRATOR
    named = [part.speaker or nobody for part in parts if part]
    cast = list(dict.fromkeys(name.casefold() for name in named))
    if len(cast) > MAX_SPEAKERS:
        first = list(dict.fromkeys(named))
        raise BadConversation(
            f"The file names {len(cast)} speakers; at most {MAX_SPEAKERS} can take part: {', '.join(first)[:200]}. "
            "Put some of them together, or split it."
        )
    cast = [name for name in before if name in cast] + [name for name in cast if name not in before]
    spelt = {name.casefold(): name for name in reversed(named)}
    speakers = tuple(before[name] if name in before else _smart(spelt[name]) for name in cast)
    rows = tuple(_row(part, cast.index((part.speaker or nobody).casefold())) if part else None for part in parts)
    made = replace(draft, speakers=speakers, rows=rows).with_ids()
    gaps = {
        row.id: part.gap_seconds
        for row, part in zip(made.rows, parts, strict=True)
        if row and part and part.gap_seconds is not None
    }
    new = [spelt[name] for name in cast if name not in before]
    joined = [f"New in the cast: {', '.join(new)}; choose their voices."] if new else []
    unnamed = sum(1 for part in parts if part and not part.speaker)
    who = "1 line names nobody" if unnamed == 1 else f"{unnamed} lines name nobody"
    told = [f"{who}: {nobody} speaks {'it' if unnamed == 1 else 'them'}."] if unnamed else []
    return ScriptFile(made, gaps, (*notes, *joined, *told))


def _row(said: Said, speaker: int) -> Row:
    return Row(speaker, said.text, seed=said.seed)


def _smart(name: str) -> dict[str, str]:
    return {"name": name[:MAX_NAME_CHARACTERS], "kind": "smart", "description": "", "reference": ""}
