"""One voice as one file, `NAME.voice.zip`: its label, consent and mends as JSON, its recording, a spoken statement.

    voice.json       {"schema": 1, "name": …, "consent": {…}, "mends": […], "sound": {"file": …, "sha256": …}, …}
    recording.flac   the recording as it was given: FLAC where 24 bits hold it exactly, else 32-bit float WAV
    statement.wav    the spoken consent statement, if there is one

The reference is made anew from recording and mends when the file is opened. What comes from others is read as if it
meant harm: nothing is unpacked by name, every size is bounded before and while it is read, every hash is checked.
"""

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from studio.archive import read_archive, write_archive
from studio.audio import MAX_UPLOAD_BYTES, Audio, Recording, read_recording, shown_name, timeless
from studio.consent import Consent
from studio.errors import BadConversation
from studio.lab import mends as mending
from studio.lab.mends import Mend
from studio.voice_entry import MAX_TAGS, STATEMENT
from studio.voice_library import VoiceLibrary
from studio.voices import LibraryVoice

SCHEMA = 1
ENTRY, FLAC, WAV = "voice.json", "recording.flac", "recording.wav"
MAX_FILE_BYTES = MAX_UPLOAD_BYTES
MAX_BYTES = {ENTRY: 64 * 1024, FLAC: MAX_UPLOAD_BYTES, WAV: MAX_UPLOAD_BYTES, STATEMENT: MAX_UPLOAD_BYTES}
MAX_UNFOLDED_BYTES = 3 * MAX_UPLOAD_BYTES
MAX_NOTES = 8
TEXTS = ("name", "description", "transcript", "file_name")


@dataclass(frozen=True)
class PackedVoice:
    """What such a file holds, checked."""

    recording: Recording
    label: Mapping[str, str]  # name, description, transcript, file_name
    tags: tuple[str, ...]
    mends: tuple[Mend, ...]
    consent: Consent | None
    statement: bytes | None  # a WAV that can be read


def pack(library: VoiceLibrary, voice: LibraryVoice) -> bytes:
    """The file of a voice."""
    name, sound = _sound_file(library.recording(voice.id))
    statement = library.statement(voice.id)
    parts = {name: sound} | ({STATEMENT: statement.read_bytes()} if statement else {})
    entry = {
        "schema": SCHEMA,
        "name": voice.name,
        "description": voice.description,
        "tags": list(voice.tags),
        "transcript": voice.reference.transcript,
        "file_name": voice.reference.file_name,
        "notes": list(voice.notes),
        "mends": mending.as_json(voice.mends),
        "consent": voice.consent.as_json() if voice.consent else None,
        "licence": voice.licence,
        "origin": voice.origin if voice.id.startswith("bundled:") else "",
        "sound": _described(name, sound),
        "statement": _described(STATEMENT, parts[STATEMENT]) if statement else None,
    }
    target = io.BytesIO()
    text = json.dumps(entry, ensure_ascii=False, indent=1).encode("utf-8")
    write_archive(target, ({ENTRY: text} | parts).items())
    return target.getvalue()


def _described(name: str, content: bytes) -> dict[str, str]:
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest()}


def _sound_file(audio: Audio) -> tuple[str, bytes]:
    """The recording as a file, exact wherever that fits."""
    scaled = audio.samples.astype(np.float64) * 2**23
    whole = np.round(scaled)
    exact = bool(np.all(whole == scaled) and np.all((whole >= -(2**23)) & (whole < 2**23)))
    target = io.BytesIO()
    if exact or audio.samples.nbytes > MAX_UPLOAD_BYTES - 4_096:
        integers = np.clip(whole, -(2**23), 2**23 - 1).astype(np.int32) << 8
        soundfile.write(target, integers.T, audio.sample_rate, format="FLAC", subtype="PCM_24")
        return FLAC, target.getvalue()
    soundfile.write(target, audio.samples.T, audio.sample_rate, format="WAV", subtype="FLOAT")
    return WAV, timeless(target.getvalue())


def unpack(path: Path, name: str | None = None) -> PackedVoice:
    """Read such a file from a person.

    Raises:
        StudioError: it is no such file, broken, changed, made by a newer studio, or meant to do harm.
        BadAudio: its recording cannot be used.
        BadSetting: a mend in it is unknown.
    """
    shown = shown_name(name or path.name)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise BadConversation(f"“{shown}” is larger than {MAX_FILE_BYTES // 2**20} MB; voices are smaller.")
    parts = _read_parts(path, shown)
    entry = _read_entry(parts[ENTRY], shown)
    sound, statement = (_verified(entry.get(key), parts, shown) for key in ("sound", "statement"))
    if sound is None:
        raise BadConversation(f"“{shown}” holds no recording. Export the voice again.")
    label = {key: entry[key] if isinstance(entry.get(key), str) else "" for key in TEXTS}
    consent = Consent.read(entry["consent"]) if entry.get("consent") is not None else None
    recording = Recording(_read_sound(*sound, shown), _texts(entry.get("notes"), MAX_NOTES))
    mends = mending.fitted(mending.read_mends(entry.get("mends") or []), recording.audio)
    return PackedVoice(
        recording,
        label | {"file_name": shown_name(label["file_name"] or shown)},
        _texts(entry.get("tags"), MAX_TAGS),
        mends,
        consent,
        statement[1] if statement and _read_sound(*statement, shown) else None,
    )


def keep(library: VoiceLibrary, packed: PackedVoice) -> LibraryVoice:
    """Put a voice from a file into the library, as one of the visitor's own.

    Raises:
        BadConversation: its label is too long.
    """
    voice = library.begin(packed.recording, packed.label["file_name"])
    try:
        library.mend(voice.id, packed.mends)
        if packed.statement is not None:
            library.attach_statement(voice.id, packed.statement)
        return library.edit(
            voice.id,
            name=packed.label["name"] or voice.name,
            description=packed.label["description"],
            tags=packed.tags,
            transcript=packed.label["transcript"],
            consent=packed.consent,
        )
    except Exception:
        library.remove(voice.id)
        raise


def _read_parts(path: Path, shown: str) -> dict[str, bytes]:
    """The files of the archive by name, each within its bound. Nothing is written anywhere."""
    parts = read_archive(
        path, MAX_BYTES.get, most_entries=len(MAX_BYTES), most_bytes=MAX_UNFOLDED_BYTES, what="voice file", name=shown
    )
    if ENTRY not in parts:
        raise BadConversation(f"“{shown}” is no voice file: it has no {ENTRY}. Export the voice again.")
    return parts


def _read_entry(text: bytes, shown: str) -> dict[str, Any]:
    try:
        entry = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadConversation(f"“{shown}” is broken: its {ENTRY} cannot be read. Export the voice again.") from None
    schema = entry.get("schema") if isinstance(entry, dict) else None
    if not isinstance(schema, int) or schema < 1:
        raise BadConversation(f"“{shown}” is no voice file: its {ENTRY} does not say which form it has.")
    if schema > SCHEMA:
        raise BadConversation(
            f"“{shown}” was made by a newer studio (form {schema}; this one reads {SCHEMA}). Update this studio."
        )
    return entry


def _texts(given: Any, most: int) -> tuple[str, ...]:
    """The strings of a list, as many as can be meant."""
    return tuple(text for text in given if isinstance(text, str))[:most] if isinstance(given, list) else ()


def _verified(described: Any, parts: Mapping[str, bytes], shown: str) -> tuple[str, bytes] | None:
    """A part that the entry names, if it is the very one."""
    if described is None:
        return None
    name = described.get("file") if isinstance(described, dict) else None
    if not isinstance(name, str) or name == ENTRY or name not in parts:
        raise BadConversation(f"“{shown}” is broken: a recording it names is not in it. Export the voice again.")
    if hashlib.sha256(parts[name]).hexdigest() != described.get("sha256"):
        raise BadConversation(f"“{shown}” has been changed: {name} is not the recording it was packed with.")
    return name, parts[name]


def _read_sound(name: str, content: bytes, shown: str) -> Audio:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return read_recording(path, f"{name} in {shown}", as_it_is=True).audio
