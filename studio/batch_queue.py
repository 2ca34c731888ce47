"""Many conversations from one table, spoken one after another; stopped at any moment, the next run goes on from there.

A folder holds, for each finished conversation, its mix and subtitles, and `state.json`, which is written durably after
each. `report.csv` tells of all of them: durations, why takes ended, what is wrong with them, errors.
"""

import csv
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from studio.archive import write_archive
from studio.conversation import MAX_SPEAKERS
from studio.draft import Draft, Row, voice_in_words
from studio.durable import settle, write_durably
from studio.errors import StudioError
from studio.export.bundle import mix_file
from studio.export.cues import as_srt, cues_of
from studio.export.origin import Origin, voices_of
from studio.export.sounds import SoundForm
from studio.pronunciations import Pronunciations
from studio.sampling import Sampling
from studio.script_files.said import told_at_once
from studio.script_files.tables import read_table, seed_of
from studio.speech import Progress, SpeechRequest, SpokenLines, readings_of
from studio.takes import Reading
from studio.text import clean, slug, speakable
from studio.voice_library import VoiceLibrary

COLUMNS = {
    "conversation": ("conversation", "scene", "id"),
    "speaker": ("speaker", "name", "character"),
    "text": ("text", "line", "dialogue"),
    "voice": ("voice",),
    "seed": ("seed",),
}
MOST_CONVERSATIONS = 1_000
STATE, REPORT = "state.json", "report.csv"
SCHEMA = 1
NARRATOR = "Narrator"

Speak = Callable[[SpeechRequest], Iterator[Progress | tuple[SpokenLines, ...]]]


@dataclass(frozen=True)
class BatchItem:
    """One conversation of a batch."""

    number: int
    name: str
    draft: Draft
    seed: int | None  # of its first row; None: follows from the batch's

    @property
    def stem(self) -> str:
        """Names its files: stable, whatever else is in the table."""
        return f"{self.number:03}-{slug(self.name, 'conversation')}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what it asks for: when that changes, it is spoken again."""
        return hashlib.sha256(json.dumps([self.draft.as_json(), self.seed]).encode()).hexdigest()


@dataclass(frozen=True)
class BatchResult:
    """What came of one conversation."""

    name: str
    files: tuple[str, ...] = ()
    seconds: float = 0.0
    lines: int = 0
    seed: int = 0
    stops: str = ""  # why takes ended, where not by themselves
    findings: str = ""  # what is wrong with takes, as far as their codes tell
    error: str = ""


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is."""

    done: int
    of: int
    name: str  # of the conversation at hand
    frames: int = 0
    failed: int = 0


def read_batch(text: str, voices: VoiceLibrary, own: Sequence[str] = (), pronunciations: str = "") -> list[BatchItem]:
    """The conversations of a table.

    Args:
        text: CSV with the columns conversation, speaker, text, and if wanted voice and seed. A row without a
            conversation belongs to the one above.
        voices: Where voices are looked up: by id, by name, or `described: an old man`.
        own: The ids of the visitor's own voices.
        pronunciations: How words are spoken, one a line.

    Raises:
        BadConversation: each row that cannot be read, by its number, all at once.
    """
    table, _ = read_table(text, COLUMNS, ("conversation", "text"))
    Pronunciations(pronunciations).check()
    known = voices.by_name(own)
    problems: list[str] = []
    gathered: dict[str, _Gathered] = {}
    name = ""
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        cells = {column: " ".join(clean(cell).split()) for column, cell in row.items()}
        if not any(cells.values()):
            continue
        name = cells["conversation"] or name
        if not name:
            problems.append(f"Row {number} belongs to no conversation. Name one in its first column.")
            continue
        gathered.setdefault(name, _Gathered(known, pronunciations)).add(cells, f"Row {number}", problems)
    if len(gathered) > MOST_CONVERSATIONS:
        problems.insert(0, f"There are {len(gathered)} conversations; at most {MOST_CONVERSATIONS} are taken.")
    if not gathered and not problems:
        problems.append("The table has no rows. Each needs a conversation and a text.")
    told_at_once(problems)
    return [BatchItem(number, name, one.draft(), one.seed) for number, (name, one) in enumerate(gathered.items(), 1)]


class _Gathered:
    """One conversation while its rows are read."""

    def __init__(self, known: dict[str, str], pronunciations: str) -> None:
        self.seed: int | None = None
        self._known = known
        self._pronunciations = pronunciations
        self._cast: dict[str, dict[str, str]] = {}
        self._rows: list[Row] = []

    def add(self, cells: dict[str, str], where: str, problems: list[str]) -> None:
        name = cells.get("speaker") or NARRATOR
        if not speakable(cells["text"]):
            problems.append(f"{where} has nothing to speak.")
        if name.casefold() not in self._cast:
            if len(self._cast) == MAX_SPEAKERS:
                problems.append(
                    f"{where}: “{name[:40]}” is one speaker too many; at most {MAX_SPEAKERS} can take part."
                )
                return
            self._cast[name.casefold()] = {"name": name[:40], "kind": "smart", "description": "", "reference": ""}
        self._choose(self._cast[name.casefold()], cells.get("voice", ""), where, problems)
        seed = seed_of(cells.get("seed", ""), where, problems)
        if not self._rows:
            self.seed = seed
        self._rows.append(Row(list(self._cast).index(name.casefold()), cells["text"], seed=seed))

    def _choose(self, speaker: dict[str, str], voice: str, where: str, problems: list[str]) -> None:
        if not voice:
            return
        in_draft = voice_in_words(voice, self._known)
        if in_draft is None:
            problems.append(
                f"{where}: there is no voice “{voice[:40]}”. Name one of the library, or write “described: an old man”."
            )
            return
        chosen = speaker | in_draft
        if speaker["kind"] != "smart" and chosen != speaker:
            problems.append(f"{where}: {speaker['name']} has another voice in a row above. One speaker has one voice.")
            return
        speaker |= chosen

    def draft(self) -> Draft:
        speakers = [dict(speaker) for speaker in self._cast.values()]
        draft = replace(Draft.read({"speakers": speakers}), rows=tuple(self._rows)).with_short_rows(sys.maxsize)
        rows = (row and replace(row, id=f"r{number}") for number, row in enumerate(draft.rows, 1))
        draft = replace(draft, rows=tuple(rows), pronunciations=self._pronunciations)
        respelt = any(line.respelt for lines in draft.groups for line in lines)
        return draft if respelt else replace(draft, pronunciations="")  # a word it does not say changes nothing of it


def run_batch(
    folder: Path,
    items: Sequence[BatchItem],
    voices: VoiceLibrary,
    speak: Speak,
    sampling: Sampling,
    form: SoundForm,
    origin: Origin,
) -> Iterator[BatchProgress]:
    """Speak what is not finished yet. Closing the iterator stops it; what is finished stays.

    A conversation that cannot be spoken is put down with its error, and tried again by the next run.

    Raises:
        StudioError: the disk does not take the files.
    """
    state = _read_state(folder)
    done = 0
    failed = 0
    for item in items:
        kept = state.get(item.stem)
        if kept and kept["fingerprint"] == _key(item, sampling, form) and _is_whole(folder, kept["result"]):
            done += 1
            continue
        yield BatchProgress(done, len(items), item.name, failed=failed)
        try:
            for step in _spoken(item, voices, speak, sampling):
                if isinstance(step, Reading):
                    result = _kept(folder, item, step, form, replace(origin, voices=voices_of(item.draft, voices)))
                else:
                    yield BatchProgress(done, len(items), item.name, step.frames, failed)
        except StudioError as problem:
            result = BatchResult(item.name, error=str(problem))
            failed += 1
        state[item.stem] = {"fingerprint": _key(item, sampling, form), "result": asdict(result)}
        _write(folder, STATE, json.dumps({"schema": SCHEMA, "items": state}, indent=1).encode("ascii"))
        done += 1
    _write(folder, REPORT, report([result_of(state[item.stem]) for item in items]).encode("utf-8-sig"))
    yield BatchProgress(done, len(items), "", failed=failed)


def _key(item: BatchItem, sampling: Sampling, form: SoundForm) -> str:
    return hashlib.sha256(f"{item.fingerprint}|{sampling}|{form.key}".encode()).hexdigest()


def _spoken(item: BatchItem, voices: VoiceLibrary, speak: Speak, sampling: Sampling) -> Iterator[Progress | Reading]:
    chosen = sampling.with_seed(item.seed) if item.seed is not None else sampling.for_line(item.number)
    (conversation,) = item.draft.conversations(voices)
    request = SpeechRequest((conversation,), chosen, item.draft.way, seeds=item.draft.seeds)
    for step in speak(request):
        if isinstance(step, Progress):
            yield step
        else:
            yield readings_of(request, step)[0]


def _kept(folder: Path, item: BatchItem, reading: Reading, form: SoundForm, origin: Origin) -> BatchResult:
    names = (f"{item.stem}.{form.ending}", f"{item.stem}.srt")
    _write(folder, names[0], mix_file(reading, form, replace(origin, title=item.name)))
    _write(folder, names[1], as_srt(cues_of(reading)).encode())
    takes = [place.take for place in reading.placements]
    findings = [
        f"line {reading.conversation.line_number(place.lines[0])}: {', '.join(place.take.health.reasons)}"
        for place in reading.placements
        if place.take.health.reasons
    ]
    stops = sorted({take.stop.value for take in takes if take.stop.value != "end of speech"})
    return BatchResult(
        item.name,
        names,
        round(reading.duration_seconds, 3),
        len(takes),
        reading.sampling.seed,
        ", ".join(stops),
        "; ".join(findings),
    )


def _write(folder: Path, name: str, content: bytes) -> None:
    try:
        write_durably(folder / name, content)
        settle(folder)
    except OSError as problem:
        raise StudioError(f"{name} cannot be written ({problem.strerror}). What was finished before is kept.") from None


def _read_state(folder: Path) -> dict[str, Any]:
    """What earlier runs have finished; nothing where that cannot be known."""
    try:
        data = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError):
        return {}
    return dict(data["items"]) if isinstance(data, dict) and data.get("schema") == SCHEMA else {}


def result_of(kept: dict[str, Any]) -> BatchResult:
    """A result as the state file holds it."""
    return BatchResult(**kept["result"] | {"files": tuple(kept["result"]["files"])})


def _is_whole(folder: Path, result: dict[str, Any]) -> bool:
    return not result["error"] and all((folder / name).is_file() for name in result["files"])


def report(results: Sequence[BatchResult]) -> str:
    """The results as CSV. No cell is one that a spreadsheet would compute."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\r\n")
    heads = ("conversation", "file", "seconds", "lines", "seed", "stopped by", "findings", "error")
    writer.writerow(heads)
    for one in results:
        cells = (one.name, one.files[0] if one.files else "", one.seconds, one.lines, one.seed)
        writer.writerow([_harmless(cell) for cell in (*cells, one.stops, one.findings, one.error)])
    return target.getvalue()


def _harmless(cell: object) -> str:
    text = str(cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def finished(folder: Path, items: Sequence[BatchItem]) -> int:
    """How many conversations of a batch earlier runs have finished."""
    state = _read_state(folder)
    return sum(item.stem in state and _is_whole(folder, state[item.stem]["result"]) for item in items)


def batch_archive(path: Path, folder: Path, items: Sequence[BatchItem]) -> None:
    """All that is finished, and the report, as one archive."""
    state = _read_state(folder)
    results = [result_of(state[item.stem]) for item in items if item.stem in state]
    names = [REPORT, *(name for result in results for name in result.files)]
    write_archive(path, ((name, (folder / name).read_bytes()) for name in names if (folder / name).is_file()))
