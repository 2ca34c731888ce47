"""A voice on disk: a folder with its recording, the reference made of it, and what is written of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.audio import read_wav
from studio.consent import Consent
from studio.errors import BadConversation
from studio.lab import mends as mending
from studio.text import check_length, clean
from studio.voices import MAX_NAME_CHARACTERS, MAX_TRANSCRIPT_CHARACTERS, LibraryVoice, Reference

MAX_DESCRIPTION_CHARACTERS = 400
MAX_TAGS, MAX_TAG_CHARACTERS = 12, 24
RECORDING, REFERENCE, ENTRY, STATEMENT = "recording.wav", "reference.wav", "voice.json", "statement.wav"


def label(name: str, description: str, tags: Sequence[str], transcript: str) -> dict[str, Any]:
    """Checked words of an entry."""
    name, transcript = " ".join(clean(name).split()), clean(transcript).strip()
    description = clean(description).strip()
    kept = list(dict.fromkeys(" ".join(clean(tag).lower().split()) for tag in tags))
    kept = [tag for tag in kept if tag]
    check_length(name, "The name", MAX_NAME_CHARACTERS)
    check_length(description, "The description", MAX_DESCRIPTION_CHARACTERS)
    check_length(transcript, "The transcript", MAX_TRANSCRIPT_CHARACTERS)
    if not name:
        raise BadConversation("Give the voice a name.")
    if len(kept) > MAX_TAGS or any(len(tag) > MAX_TAG_CHARACTERS for tag in kept):
        raise BadConversation(f"At most {MAX_TAGS} tags of {MAX_TAG_CHARACTERS} characters are taken.")
    return {"name": name, "description": description, "tags": kept, "transcript": transcript}


def read_voice(voice_id: str, folder: Path) -> LibraryVoice:
    """The voice in a folder, by the id it is asked for."""
    entry = read_entry(folder)
    consent = Consent(**entry["consent"]) if entry.get("consent") else None
    reference = Reference(entry["file_name"], entry["transcript"], read_wav(folder / REFERENCE), consent=consent)
    return LibraryVoice(
        voice_id,
        entry["name"],
        reference,
        origin="kept on this server" if voice_id.startswith("shared:") else "recorded or uploaded by you",
        notes=tuple(entry["notes"]),
        description=entry.get("description", ""),
        tags=tuple(entry.get("tags", [])),
        mends=mending.read_mends(entry.get("mends", [])),
    )


def read_entry(folder: Path) -> dict[str, Any]:
    """What is written of a voice."""
    return json.loads((folder / ENTRY).read_text("utf-8"))


def write_entry(folder: Path, entry: dict[str, Any]) -> None:
    """Write it anew; whoever reads meanwhile finds the old."""
    part = folder / f"{ENTRY}.part"
    part.write_text(json.dumps(entry, ensure_ascii=False), "utf-8")
    part.replace(folder / ENTRY)


def age(folder: Path) -> float:
    """When its recording was kept, in seconds of the clock."""
    try:
        return (folder / RECORDING).stat().st_mtime
    except FileNotFoundError:  # of an earlier studio, or being deleted
        return 0.0
