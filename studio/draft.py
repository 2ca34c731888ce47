"""Draft: conversations as the page and the preset files write them (JSON), read into values.

A draft may hold half-typed things; `conversations` says what is missing. A divider among its lines begins
another conversation with the same cast and scene: all of them are spoken in one batch.

    {"scene": "…", "way": "lines" | "breath", "references": "turns" | "scene",
     "speakers": [{"name": "Alma", "kind": "smart" | "described" | "reference",
                   "description": "…", "reference": "bundled:alma"}, …],
     "lines": [{"speaker": 0, "text": "…"}, {"divider": true}, …],
     "system": "…"}  (rarely: another system text than the model's own)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from studio.conversation import MAX_SCENE_CHARACTERS, MAX_SPEAKERS, QUIET_ROOM, Conversation, Line, Scene, Speaker
from studio.errors import BadConversation, BadSetting
from studio.text import check_length
from studio.voices import MAX_NAME_CHARACTERS, Voice, VoiceLibrary

WAYS = ("lines", "breath")
PLACES = ("turns", "scene")
KINDS = ("smart", "described", "reference")
MAX_ROWS = 1_000
TYPES = {"scene": str, "way": str, "references": str, "speakers": list, "lines": list, "system": str}


@dataclass(frozen=True)
class Draft:
    """A draft whose keys and types are in order; what it says may still not be speakable."""

    scene: str
    way: Literal["lines", "breath"]
    references: Literal["turns", "scene"]
    speakers: tuple[dict[str, str], ...]
    rows: tuple[tuple[int, str] | None, ...]  # speaker and text; None is a divider
    system: str = ""  # of an imported conversation; empty: the model's own

    @classmethod
    def read(cls, data: Any, source: str = "The conversation") -> "Draft":
        """Read a draft from JSON.

        Raises:
            BadSetting: a key does not exist or holds the wrong thing; the message names source and key.
            BadConversation: a name, a description or the scene is too long.
        """
        values = _keys(data, TYPES, source)
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
            _one_of(values.get("way", "lines"), WAYS, f"{source}: way"),
            _one_of(values.get("references", "turns"), PLACES, f"{source}: references"),
            speakers,
            tuple(_row(item, f"{source}, line {number}") for number, item in enumerate(items, 1)),
            values.get("system", ""),
        )

    def as_json(self) -> dict[str, Any]:
        """The draft as the page keeps it."""
        lines = [{"divider": True} if row is None else {"speaker": row[0], "text": row[1]} for row in self.rows]
        return {
            "scene": self.scene,
            "way": self.way,
            "references": self.references,
            "speakers": [dict(speaker) for speaker in self.speakers],
            "lines": lines,
            "system": self.system,
        }

    def conversations(self, voices: VoiceLibrary) -> list[Conversation]:
        """The conversations this draft stands for, empty rows left out.

        Raises:
            BadConversation: there is nothing to speak, too much of it, or a voice that speaks is missing.
        """
        check_length("\n".join(row[1] for row in self.rows if row), "The script")
        speaking = {row[0] for row in self.rows if row and row[1].strip()}
        speakers = tuple(
            self._cast(speaker, name, voices) if index in speaking else Speaker(name)
            for index, (speaker, name) in enumerate(zip(self.speakers, self.names, strict=True))
        )
        groups: list[list[Line]] = [[]]
        number = 0
        for row in self.rows:
            if row is None:
                groups.append([])
                continue
            number += 1  # as the page counts: every line, dividers not
            if row[1].strip():
                groups[-1].append(Line(row[0], row[1], number))
        spoken = [
            Conversation(tuple(lines), speakers, Scene(self.scene), self.references, self.system)
            for lines in groups
            if lines
        ]
        if not spoken:
            raise BadConversation("There is nothing to speak yet. Type a line, or load a preset.")
        for conversation in spoken:
            conversation.check()
        return spoken

    @property
    def names(self) -> list[str]:
        """What the speakers are called; "Speaker 2" who has no name."""
        return [speaker["name"].strip() or f"Speaker {number}" for number, speaker in enumerate(self.speakers, 1)]

    def _cast(self, speaker: Mapping[str, str], name: str, voices: VoiceLibrary) -> Speaker:
        if speaker["kind"] == "reference":
            if not speaker["reference"]:
                raise BadConversation(f"{name} has no voice yet. Choose one in the cast, or let the model choose.")
            return Speaker(name, Voice(reference=voices.find(speaker["reference"]).reference))
        return Speaker(name, Voice(speaker["description"].strip() if speaker["kind"] == "described" else ""))


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
    rows = tuple((line.speaker, line.text) for line in conversation.lines)
    return Draft(
        conversation.scene.description, "lines", conversation.references_in, speakers, rows, conversation.system
    )


def _keys(data: Any, types: Mapping[str, type], source: str) -> dict[str, Any]:
    """The values of an object whose keys are all known and hold the right type."""
    if not isinstance(data, dict):
        raise BadSetting(f"{source}: there must be an object with {', '.join(types)}.")
    for key, value in data.items():
        if key not in types:
            raise BadSetting(f"{source}: there is no key {key!r}. There are: {', '.join(types)}.")
        if not isinstance(value, types[key]) or (isinstance(value, bool) and types[key] is not bool):
            raise BadSetting(f"{source}: {key} must be a {types[key].__name__}, not {type(value).__name__}.")
    return data


def _one_of(value: str, allowed: Sequence[str], what: str) -> Any:
    if value not in allowed:
        raise BadSetting(f"{what} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def _speaker(item: Any, source: str) -> dict[str, str]:
    values = _keys(item, dict.fromkeys(("name", "kind", "description", "reference"), str), source)
    check_length(values.get("name", ""), f"{source}: the name", MAX_NAME_CHARACTERS)
    check_length(values.get("description", ""), f"{source}: the description", MAX_SCENE_CHARACTERS)
    kind = _one_of(values.get("kind", "smart"), KINDS, f"{source}: kind")
    return {
        "name": values.get("name", ""),
        "kind": kind,
        "description": values.get("description", ""),
        "reference": values.get("reference", ""),
    }


def _row(item: Any, source: str) -> tuple[int, str] | None:
    values = _keys(item, {"speaker": int, "text": str, "divider": bool}, source)
    if values.get("divider"):
        return None
    return values.get("speaker", 0), values.get("text", "")
