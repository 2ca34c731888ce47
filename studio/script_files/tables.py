"""Tables (CSV): one row a line, its speaker, text, seed and gap by the names of the columns."""

import io
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from studio.errors import BadConversation
from studio.pauses import LONGEST_GAP_SECONDS
from studio.sampling import HIGHEST_SEED
from studio.script import DIVIDER
from studio.script_files.said import Part, Said, told_at_once
from studio.text import clean, speakable

COLUMNS = {
    "text": ("text", "line", "dialogue", "words"),
    "speaker": ("speaker", "name", "character", "role"),
    "seed": ("seed",),
    "gap": ("gap", "pause", "gap_seconds"),
}
SEPARATORS = ",;\t|"
MOST_CELLS = 200_000


def read_table(
    text: str, columns: Mapping[str, Sequence[str]], needed: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """A table with the columns that are known, all as text, and notes on what was left out.

    The index is the row as a spreadsheet counts it: the header is row 1.

    Args:
        text: The file.
        columns: For each column the names it may have in the file.
        needed: Columns that must be there.

    Raises:
        BadConversation: it is no table, or a needed column is missing.
    """
    head = next((row for row in text.split("\n") if row.strip()), "")
    separator = max(SEPARATORS, key=head.count)
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, na_filter=False, index_col=False
        )
    except pd.errors.EmptyDataError:
        raise BadConversation("The table is empty. Its first row must name the columns.") from None
    except (pd.errors.ParserError, ValueError) as problem:
        row = re.search(r"line (\d+)", str(problem))
        where = f"Row {row[1]} has more cells than the header" if row else "Its rows cannot be told apart"
        raise BadConversation(f"The table cannot be read. {where}: put text with commas in quotation marks.") from None
    if table.size > MOST_CELLS:
        raise BadConversation(f"The table has {table.size:,} cells; at most {MOST_CELLS:,} are read. Split it up.")
    table.index = pd.RangeIndex(2, len(table) + 2)
    names = {str(name): " ".join(clean(str(name)).split()).casefold() for name in table.columns}
    kept: dict[str, str] = {}
    for column, aliases in columns.items():
        for name, plain in names.items():
            if plain in aliases and column not in kept:
                kept[column] = name
    missing = [column for column in needed if column not in kept]
    if missing:
        raise BadConversation(
            f"The table has no column “{missing[0]}”. Its first row must name the columns: {', '.join(columns)}."
        )
    others = [clean(name)[:40] for name in names if name not in kept.values()]
    notes = [f"Not read: the column{'s' if len(others) > 1 else ''} {', '.join(others[:8])}."] if others else []
    return table[list(kept.values())].set_axis(list(kept), axis=1), notes


def of_table(text: str) -> tuple[list[Part], list[str]]:
    """The lines of a table, and notes. Cells are text and nothing else, whatever a spreadsheet would make of them.

    Raises:
        BadConversation: each row that cannot be read, by its number, all at once.
    """
    table, notes = read_table(text, COLUMNS, ("text",))
    problems: list[str] = []
    parts: list[Part] = []
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        words = " ".join(clean(row["text"]).split())
        if DIVIDER.fullmatch(words):
            parts.append(None)
        elif any(str(cell).strip() for cell in row.values()):
            if not speakable(words):
                problems.append(f"Row {number} has nothing to speak.")
            seed = seed_of(row.get("seed", ""), f"Row {number}", problems)
            gap = _gap_of(row.get("gap", ""), f"Row {number}", problems)
            parts.append(Said(words, " ".join(clean(row.get("speaker", "")).split()), seed, gap))
    told_at_once(problems)
    return parts, notes


def seed_of(cell: str, where: str, problems: list[str]) -> int | None:
    """A seed; what is wrong with it goes to the problems."""
    cell = cell.strip()
    if not cell:
        return None
    if not re.fullmatch(r"[0-9]{1,10}(\.0+)?", cell) or int(cell.partition(".")[0]) > HIGHEST_SEED:
        problems.append(f"{where}: the seed must be a whole number from 0 to {HIGHEST_SEED}, not “{cell[:20]}”.")
        return None
    return int(cell.partition(".")[0])


def _gap_of(cell: str, where: str, problems: list[str]) -> float | None:
    cell = cell.strip()
    if not cell:
        return None
    seconds = float(cell.replace(",", ".")) if re.fullmatch(r"[+-]?[0-9]{1,4}([.,][0-9]{1,6})?", cell) else None
    if seconds is None or abs(seconds) > LONGEST_GAP_SECONDS:
        problems.append(
            f"{where}: the gap must be seconds from -{LONGEST_GAP_SECONDS:g} to {LONGEST_GAP_SECONDS:g}, "
            f"not “{cell[:20]}”."
        )
        return None
    return seconds
