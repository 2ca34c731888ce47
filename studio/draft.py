"""Draft: conversations as the page and the preset files write them (JSON), read into values.

A draft may hold half-typed things; `conversations` says what is missing. A divider among its lines begins
another conversation with the same cast and scene: all of them are spoken in one batch.

    {"scene": "…", "way": "lines" | "breath", "references": "turns" | "scene",
     "speakers": [{"name": "Alma", "kind": "smart" | "described" | "reference",
                   "description": "…", "reference": "bundled:alma"}, …],
     "lines": [{"speaker": 0, "text": "…", "id": "1f3a…", "seed": 7}, {"divider": true}, …],
     "context": 0, "system": "…", "pronunciations": "Nguyen = Win"}

An `id` lets takes keep to their line while lines move, a `seed` is kept by that line alone, `context` is how many
earlier lines stand before each in the prompt, `system` (rarely) is another system text than the model's own, and
`pronunciations` says how words are spoken.
Every field with its type, default and range: docs/conversation-object.md.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any, Literal

from studio.conversation import MAX_SCENE_CHARACTERS, MAX_SPEAKERS, QUIET_ROOM, Conversation, Line, Scene, Speaker
from studio.errors import BadConversation, BadSetting
from studio.pauses import check_pauses, parted, pieces, together
from studio.pronunciations import Pronunciations
from studio.sampling import HIGHEST_SEED
from studio.strict_json import keys, one_of, whole
from studio.text import check_length
from studio.voice_library import VoiceLibrary
from studio.voices import MAX_NAME_CHARACTERS, Voice

WAYS = ("lines", "breath")
PLACES = ("turns", "scene")
KINDS = ("smart", "described", "reference")
SMART, DESCRIBED = "smart", "described:"  # where a voice is written in words
MAX_ROWS = 1_000
MOST_CONTEXT = 8
TYPES = {
    **{"scene": str, "way": str, "references": str, "speakers": list},
    **{"lines": list, "context": int, "system": str, "pronunciations": str},
}
NEEDED = ("speakers", "lines")  # where it is to be spoken as it stands: half-typed ones may lack them
ROW_ID = re.compile(r"[0-9a-z]{0,16}")


@dataclass(frozen=True)
class Row:
    """One line of a draft as it stands on the page."""

    speaker: int  # index into the cast
    text: str
    id: str = ""  # what takes hold on to; empty where nobody needs it
    seed: int | None = None  # of this line alone

    def as_json(self) -> dict[str, Any]:
        """The row as the page keeps it; what it does not have is left out."""
        seed = {} if self.seed is None else {"seed": self.seed}
        return {"speaker": self.speaker, "text": self.text} | ({"id": self.id} if self.id else {}) | seed


@dataclass(frozen=True)
class Draft:
    """A draft whose keys and types are in order; what it says may still not be speakable."""

    scene: str
    way: Literal["lines", "breath"]
    references: Literal["turns", "scene"]
    speakers: tuple[dict[str, str], ...]
    rows: tuple[Row | None, ...]  # None is a divider
    system: str = ""  # of an imported conversation; empty: the model's own
    context: int = 0  # earlier lines in the prompt of each
    pronunciations: str = ""  # words that are spoken otherwise than they are written, one a line

    @classmethod
    def read(cls, data: Any, source: str = "The conversation", needed: Sequence[str] = ()) -> "Draft":
        """Read a draft from JSON.

        Args:
            data: The object.
            source: How messages call it.
            needed: Keys that must be there (`NEEDED`); without them the others have defaults, too.

        Raises:
            BadSetting: a key does not exist or holds the wrong thing; the message names source and key.
            BadConversation: a name, a description or the scene is too long.
        """
        values = keys(data, TYPES, source, needed)
        speakers = tuple(
            _speaker(item, f"{source}, speaker {number}") for number, item in enumerate(values.get("speakers", []), 1)
        )
        if len(speakers) > MAX_SPEAKERS:
            raise BadSetting(f"{source}: there are {len(speakers)} speakers; at most {MAX_SPEAKERS} can take part.")
        check_length(values.get("scene", ""), f"{source}: the scene", MAX_SCENE_CHARACTERS)
        items = values.get("lines", [])
        if len(items) > MAX_ROWS:
            raise BadSetting(f"{source}: there are {len(items)} lines; at most {MAX_ROWS} are taken.")
        return cls(
            values.get("scene", QUIET_ROOM),
            one_of(values.get("way", "lines"), WAYS, f"{source}: way"),
            one_of(values.get("references", "turns"), PLACES, f"{source}: references"),
            speakers,
            tuple(_row(item, f"{source}, line {number}") for number, item in enumerate(items, 1)),
            values.get("system", ""),
            whole(values.get("context", 0), MOST_CONTEXT, f"{source}: context"),
            values.get("pronunciations", ""),
        )

    def as_json(self) -> dict[str, Any]:
        """The draft as the page keeps it."""
        return {
            "scene": self.scene,
            "way": self.way,
            "references": self.references,
            "speakers": [dict(speaker) for speaker in self.speakers],
            "lines": [{"divider": True} if row is None else row.as_json() for row in self.rows],
            "context": self.context,
            "system": self.system,
            "pronunciations": self.pronunciations,
        }

    def conversations(self, voices: VoiceLibrary) -> list[Conversation]:
        """The conversations this draft stands for, empty rows left out.

        Raises:
            BadConversation: there is nothing to speak, too much of it, or a voice that speaks is missing.
        """
        check_length("\n".join(row.text for row in self.rows if row), "The script")
        speaking = {line.speaker for lines in self.groups for line in lines}
        speakers = tuple(
            self._cast(speaker, name, voices) if index in speaking else Speaker(name)
            for index, (speaker, name) in enumerate(zip(self.speakers, self.names, strict=True))
        )
        Pronunciations(self.pronunciations).check()
        for number, row in enumerate(filter(None, self.rows), 1):
            check_pauses(row.text, number)
        spoken = [
            Conversation(lines, speakers, Scene(self.scene), self.references, self.system) for lines in self.groups
        ]
        if not spoken:
            raise BadConversation("There is nothing to speak yet. Type a line, or load a preset.")
        for conversation in spoken:
            conversation.check()
        return spoken

    def with_ids(self) -> "Draft":
        """The same, with an id for every row that has none, or the id of a row above it."""
        seen: set[str] = set()
        rows: list[Row | None] = []
        for row in self.rows:
            if row is not None and (not row.id or row.id in seen):
                rows.append(replace(row, id=secrets.token_hex(6)))
            else:
                rows.append(row)
            seen |= {row.id} if row else set()
        return replace(self, rows=tuple(rows))

    def with_short_rows(self, most_words: int, only: str = "") -> "Draft":
        """The same, its longer rows cut into several, and every row where a pause stands within it.

        The first piece stays the row it was; a seed of its own goes to all.

        Args:
            most_words: That a row may have.
            only: The id of the one row to look at; empty for all.

        Raises:
            BadConversation: there would be more rows than a draft may have.
        """
        rows: list[Row | None] = []
        for row in self.rows:
            cut = pieces(row.text, most_words) if row and only in ("", row.id) else []
            if row and len(cut) > 1:
                rows += [replace(row, text=piece, id="" if number else row.id) for number, piece in enumerate(cut)]
            else:
                rows.append(row)
        if len(rows) > MAX_ROWS:
            raise BadConversation(
                f"Cut up there would be {len(rows)} lines; at most {MAX_ROWS} are taken. Leave some text out."
            )
        return replace(self, rows=tuple(rows))

    @cached_property
    def groups(self) -> list[tuple[Line, ...]]:
        """The lines between dividers, each with the pause before it; empty rows and empty groups left out."""
        groups: list[list[Line]] = [[]]
        spoken = Pronunciations(self.pronunciations)
        number = 0
        owed: float | None = None  # the pause that a row above ended with
        for row in self.rows:
            if row is None:
                groups.append([])
                owed = None
                continue
            number += 1  # as the page counts: every line, dividers not
            parts = parted(row.text)
            owed = together(owed, parts[0].seconds)
            words = " ".join(part.words for part in parts if part.words)
            if words:
                line = Line(row.speaker, words, number, row.id, owed)
                said = spoken.said(line.text)
                groups[-1].append(replace(line, respelt=said) if said != line.text else line)
                owed = None if parts[-1].words else parts[-1].seconds
        return [tuple(lines) for lines in groups if lines]

    @property
    def seeds(self) -> dict[tuple[int, int], int]:
        """The seeds that single lines have of their own, by conversation and line, as `SpeechRequest` takes them."""
        by_number = {number: row.seed for number, row in enumerate(filter(None, self.rows), 1)}
        return {
            (index, place): seed
            for index, lines in enumerate(self.groups)
            for place, line in enumerate(lines)
            if (seed := by_number[line.number]) is not None
        }

    @property
    def names(self) -> list[str]:
        """What the speakers are called; "Speaker 2" who has no name."""
        return [speaker["name"].strip() or f"Speaker {number}" for number, speaker in enumerate(self.speakers, 1)]

    def voice_of(self, speaker: int) -> str:
        """How a speaker is to sound, in one string: "smart", "described: …" or "reference: …"; empty for nobody."""
        if not 0 <= speaker < len(self.speakers):
            return ""
        chosen = self.speakers[speaker]
        kind = chosen["kind"]
        words = {"smart": "", "described": chosen["description"].strip(), "reference": chosen["reference"]}[kind]
        return f"{kind}: {words}" if words else kind

    def _cast(self, speaker: Mapping[str, str], name: str, voices: VoiceLibrary) -> Speaker:
        if speaker["kind"] == "reference":
            if not speaker["reference"]:
                raise BadConversation(
                    f"{name} has no voice yet: a reference voice needs its id (reference). Choose one in the cast, or "
                    "let the model choose."
                )
            return Speaker(name, Voice(reference=voices.find(speaker["reference"]).reference))
        return Speaker(name, Voice(speaker["description"].strip() if speaker["kind"] == "described" else ""))


def voice_in_words(words: str, known: Mapping[str, str]) -> dict[str, str] | None:
    """How a speaker is to sound, as a draft has it, from what people write in tables, commands and requests.

    Args:
        words: "smart" (the model's choice), "described: an old man", or a voice by its id or name.
        known: Ids of voices, see `VoiceLibrary.by_name`.

    Returns:
        Parts of one of `Draft.speakers`; None if there is no such voice.
    """
    asked = words.strip().casefold()
    if asked == SMART:
        return {"kind": "smart"}
    if asked.startswith(DESCRIBED):
        return {"kind": "described", "description": words.strip()[len(DESCRIBED) :].strip()}
    return {"kind": "reference", "reference": known[asked]} if asked in known else None


def same_ids(rows: Sequence[Row | None], before: Sequence[Row | None]) -> tuple[Row | None, ...]:
    """Rows read anew, with the ids and seeds of those they were before: by their words, else by their place."""
    old, new = ([(row.speaker, row.text) if row else None for row in part] for part in (before, rows))
    taken = list(rows)
    for kind, start, stop, to, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal" or stop - start == end - to:
            for offset in range(end - to):
                was, now = before[start + offset], taken[to + offset]
                if was and now:
                    taken[to + offset] = replace(now, id=was.id, seed=was.seed)
    return tuple(taken)


def draft_of(conversation: Conversation, reference_ids: Sequence[str]) -> Draft:
    """The draft that stands for one conversation, for instance an imported one.

    Args:
        conversation: The conversation.
        reference_ids: For each speaker the library's id of its reference; empty where there is none.
    """
    speakers = tuple(
        {
            "name": speaker.name,
            "kind": speaker.voice.kind,
            "description": speaker.voice.description,
            "reference": reference_id,
        }
        for speaker, reference_id in zip(conversation.speakers, reference_ids, strict=True)
    )
    rows = tuple(Row(line.speaker, line.text) for line in conversation.lines)
    return Draft(
        conversation.scene.description, "lines", conversation.references_in, speakers, rows, conversation.system
    )


def _speaker(item: Any, source: str) -> dict[str, str]:
    values = keys(item, dict.fromkeys(("name", "kind", "description", "reference"), str), source)
    check_length(values.get("name", ""), f"{source}: the name", MAX_NAME_CHARACTERS)
    check_length(values.get("description", ""), f"{source}: the description", MAX_SCENE_CHARACTERS)
    kind = one_of(values.get("kind", "smart"), KINDS, f"{source}: kind")
    return {
        "name": values.get("name", ""),
        "kind": kind,
        "description": values.get("description", ""),
        "reference": values.get("reference", ""),
    }


def _row(item: Any, source: str) -> Row | None:
    values = keys(item, {"speaker": int, "text": str, "divider": bool, "id": str, "seed": int}, source)
    if values.get("divider"):
        return None
    if not ROW_ID.fullmatch(values.get("id", "")):
        raise BadSetting(f"{source}: id must be at most 16 digits and small letters, not {values['id'][:40]!r}.")
    seed = whole(values["seed"], HIGHEST_SEED, f"{source}: seed") if "seed" in values else None
    return Row(values.get("speaker", 0), values.get("text", ""), values.get("id", ""), seed)
