"""A project as one file, `NAME.higgs.zip`, that opens to the same sound on another day and another machine.

    project.json            what there is, with a hash of every other file
    voices/1.voice.zip      each reference voice of the cast, as studio/voice_file.py packs it, consent included
    takes/0f3a….npz         the codes of each take; their sound is decoded when the file is opened

Nothing is pickled. Voices are named `file:1` within it, since the ids of a visitor's own voices give the right to
change them. The format is described in docs/project-file.md.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.archive import read_archive, write_archive
from studio.audio import Audio, shown_name, silence
from studio.codes import Codec, Codes
from studio.draft import Draft
from studio.errors import BadSetting, StudioError
from studio.lab.codemap import MAX_FILE_BYTES as MOST_CODES_BYTES
from studio.lab.codemap import StoredCodes, packed, unpacked
from studio.project import MOST_TAKES, Project
from studio.project_json import SCHEMA, check_schema, project_as_json, read_project
from studio.strict_json import all_keys
from studio.version import STUDIO
from studio.voice_file import MAX_FILE_BYTES as MOST_VOICE_BYTES
from studio.voice_file import keep, pack, unpack
from studio.voice_library import VoiceLibrary
from studio.voices import LibraryVoice

ENTRY, ENDING = "project.json", ".higgs.zip"
MOST_BYTES = 256 * 2**20
MOST_ENTRY_BYTES = 16 * 2**20
MOST_VOICES = 8
MOST_SECONDS = 4 * 3600.0  # of all takes together: they are decoded one by one
TAKE_FILE = re.compile(r"takes/([0-9a-f]{12})\.npz")
VOICE_FILE = re.compile(r"voices/([1-8])\.voice\.zip")
NAMED_VOICE = re.compile(r"reference: [a-z]+:[0-9a-z-]+")
FILE = {
    **{"schema": int, "saved": str, "studio": str, "codec": dict, "voices": list, "takes": dict, "project": dict},
}
CODEC = {"title": str, "frame_rate": object, "sample_rate": int, "codebooks": int, "codebook_size": int}
VOICE = {"file": str, "sha256": str, "id": str, "name": str, "transcript": str, "consent": object}
WHAT = "project file"


@dataclass(frozen=True)
class OpenedProject:
    """What came of a file."""

    project: Project
    added: tuple[str, ...]  # ids of voices that were put into the visitor's library


def save_project(
    path: Path, project: Project, voices: VoiceLibrary, codec: Codec, codec_title: str, saved: datetime | None = None
) -> None:
    """Write a project file. Equal projects saved at the same moment give equal bytes.

    Args:
        path: The file.
        project: The project.
        voices: Where the voices of its cast are. One that is gone is left out: its lines keep their takes.
        codec: The codec of its takes.
        codec_title: What that is called: another one would make noise of the codes.
        saved: The moment; now, if absent.
    """
    used = _voices_of(project.draft, voices)
    files = [pack(voices, voice) for voice in used.values()]
    names = {voice_id: f"file:{number}" for number, voice_id in enumerate(used, 1)}
    takes = {kept.id: packed(StoredCodes(kept.take.codes, codec_title)) for kept in project.takes}
    entry = {
        "schema": SCHEMA,
        "saved": (saved or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "studio": STUDIO,
        "codec": {
            "title": codec_title,
            "frame_rate": codec.frame_rate,
            "sample_rate": codec.sample_rate,
            "codebooks": codec.codebooks,
            "codebook_size": codec.codebook_size,
        },
        "voices": [
            {
                "file": f"voices/{number}.voice.zip",
                "sha256": _sha256(content),
                "id": "" if voice.id.startswith("own:") else voice.id,
                "name": voice.name,
                "transcript": voice.reference.transcript,
                "consent": voice.consent.as_json() if voice.consent else None,
            }
            for number, (voice, content) in enumerate(zip(used.values(), files, strict=True), 1)
        ],
        "takes": {take_id: _sha256(content) for take_id, content in takes.items()},
        "project": _renamed(project_as_json(project), names),
    }
    parts = [(ENTRY, json.dumps(entry, indent=1).encode("ascii"))]
    parts += [(f"voices/{number}.voice.zip", content) for number, content in enumerate(files, 1)]
    parts += [(f"takes/{take_id}.npz", content) for take_id, content in takes.items()]
    write_archive(path, parts)


def open_project(
    path: Path,
    voices: VoiceLibrary,
    codec: Codec,
    codec_title: str,
    *,
    name: str | None = None,
    own: Sequence[str] = (),
    say: Callable[[int, int], None] = lambda done, of: None,
) -> OpenedProject:
    """Open a project file from anybody. The generator is not needed: takes are decoded from their codes.

    Args:
        path: The file.
        voices: Where its voices are put, as the visitor's own, unless they are there already.
        codec: The codec of this studio.
        codec_title: What it is called.
        name: What the person calls the file.
        own: The ids of the visitor's voices, so that none is added twice.
        say: Told how many takes are decoded, of how many.

    Raises:
        StudioError: it is no project file, broken, changed, made by a newer studio or with another codec, or meant to
            do harm. Nothing has been kept then.
    """
    shown = shown_name(name or path.name)
    parts = read_archive(
        path, _largest, most_entries=1 + MOST_VOICES + MOST_TAKES, most_bytes=MOST_BYTES, what=WHAT, name=shown
    )
    entry = _entry(parts, shown)
    _check_codec(entry["codec"], codec, codec_title, shown)
    if len(entry["voices"]) > MOST_VOICES:
        raise StudioError(f"“{shown}” is no {WHAT}: it has more voices than can take part.")
    described = [all_keys(item, VOICE, f"“{shown}”, voice {index}") for index, item in enumerate(entry["voices"], 1)]
    for item in described:
        _verified(item["file"], item["sha256"], parts, shown)
    codes = _codes(entry["takes"], parts, codec, shown)
    read_project(
        entry["project"], lambda take_id: (_found(codes, take_id, shown), silence(0, codec.sample_rate)), f"“{shown}”"
    )
    decoded: dict[str, Audio] = {}
    for take_id, one in codes.items():
        say(len(decoded), len(codes))
        decoded[take_id] = codec.decode(one)
    ids, added = _kept_voices(described, parts, voices, own)
    try:
        data = _renamed(entry["project"], ids)
        project = read_project(data, lambda take_id: (codes[take_id], decoded[take_id]), f"“{shown}”")
    except StudioError:
        for voice_id in added:
            voices.remove(voice_id)
        raise
    return OpenedProject(project, added)


def _largest(name: str) -> int | None:
    if name == ENTRY:
        return MOST_ENTRY_BYTES
    if TAKE_FILE.fullmatch(name):
        return MOST_CODES_BYTES
    return MOST_VOICE_BYTES if VOICE_FILE.fullmatch(name) else None


def _entry(parts: Mapping[str, bytes], shown: str) -> dict[str, Any]:
    if ENTRY not in parts:
        raise StudioError(f"“{shown}” is no {WHAT}: it has no {ENTRY}.")
    try:
        data = json.loads(parts[ENTRY])
    except (ValueError, RecursionError):
        raise StudioError(f"“{shown}” is broken: its {ENTRY} cannot be read. Save the project again.") from None
    check_schema(data, f"“{shown}”")
    return all_keys(data, FILE, f"“{shown}”")


def _check_codec(data: Any, codec: Codec, codec_title: str, shown: str) -> None:
    made = all_keys(data, CODEC, f"“{shown}”, codec")
    here = (codec.frame_rate, codec.sample_rate, codec.codebooks, codec.codebook_size)
    fits = (made["frame_rate"], made["sample_rate"], made["codebooks"], made["codebook_size"]) == here
    if not fits or made["title"] != codec_title:
        raise BadSetting(
            f"“{shown}” was made with another codec, {made['title'][:100]} ({made['codebooks']} codebooks of "
            f"{made['codebook_size']} at {made['frame_rate']} frames/s); this studio speaks with {codec_title}, which "
            "would make noise of its codes. Start the studio with the checkpoint the project was made with."
        )


def _verified(name: str, sha256: str, parts: Mapping[str, bytes], shown: str) -> bytes:
    if name == ENTRY or name not in parts:
        raise StudioError(f"“{shown}” is broken: {shown_name(name)} is missing in it. Save the project again.")
    if _sha256(parts[name]) != sha256:
        raise StudioError(f"“{shown}” has been changed: {shown_name(name)} is not what was saved.")
    return parts[name]


def _codes(data: Mapping[str, Any], parts: Mapping[str, bytes], codec: Codec, shown: str) -> dict[str, Codes]:
    codes: dict[str, Codes] = {}
    for take_id, sha256 in data.items():
        content = _verified(f"takes/{take_id}.npz", str(sha256), parts, shown)
        one = unpacked(content, f"{take_id}.npz in {shown}").codes
        here = (codec.frame_rate, codec.codebooks, codec.codebook_size)
        if (one.frame_rate, one.codebooks, one.codebook_size) != here:
            raise BadSetting(f"“{shown}” holds a take of another codec than it says. It is not opened.")
        codes[take_id] = one
    if sum(one.duration_seconds for one in codes.values()) > MOST_SECONDS:
        raise BadSetting(f"The takes in “{shown}” last longer than {MOST_SECONDS / 3600:g} hours. It is not opened.")
    return codes


def _found(codes: Mapping[str, Codes], take_id: str, shown: str) -> Codes:
    if take_id not in codes:
        raise StudioError(f"“{shown}” is broken: the codes of a take are missing. Save the project again.")
    return codes[take_id]


def _voices_of(draft: Draft, voices: VoiceLibrary) -> dict[str, LibraryVoice]:
    """The reference voices of a cast that are still here, by id, in the order of the cast."""
    used: dict[str, LibraryVoice] = {}
    for speaker in draft.speakers:
        voice_id = speaker["reference"]
        if speaker["kind"] == "reference" and voice_id and voice_id not in used:
            try:
                used[voice_id] = voices.look(voice_id)
            except StudioError:
                continue  # deleted since: the takes are still here
    return used


def _kept_voices(
    described: Sequence[Mapping[str, Any]], parts: Mapping[str, bytes], voices: VoiceLibrary, own: Sequence[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The library's id for each voice of the file, and those that had to be added."""
    ids: dict[str, str] = {}
    added: list[str] = []
    known = {_sha256(pack(voices, voice)): voice.id for voice in _found_voices([*own], voices)}
    try:
        for number, item in enumerate(described, 1):
            content = parts[item["file"]]
            (here, *_) = [*_found_voices([item["id"]], voices), None]
            if here and not here.id.startswith("own:") and _sha256(pack(voices, here)) == item["sha256"]:
                ids[f"file:{number}"] = here.id
            elif item["sha256"] in known:
                ids[f"file:{number}"] = known[item["sha256"]]
            else:
                ids[f"file:{number}"] = _added(content, voices)
                added.append(ids[f"file:{number}"])
    except StudioError:
        for voice_id in added:
            voices.remove(voice_id)
        raise
    return ids, tuple(added)


def _found_voices(ids: Sequence[str], voices: VoiceLibrary) -> list[LibraryVoice]:
    found = []
    for voice_id in ids:
        try:
            found.append(voices.look(voice_id))
        except StudioError:
            continue
    return found


def _added(content: bytes, voices: VoiceLibrary) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.voice.zip"
        path.write_bytes(content)
        return keep(voices, unpack(path)).id


def _renamed(data: Any, ids: Mapping[str, str]) -> dict[str, Any]:
    """A project's JSON with other ids for its voices; those that are not among them are gone."""
    draft, takes = data["draft"], data["takes"]
    speakers = [
        speaker | {"reference": ids.get(speaker.get("reference", ""), "")} for speaker in draft.get("speakers", [])
    ]
    renamed = [
        take
        | {
            "asked": take["asked"]
            | {"voice": NAMED_VOICE.sub(lambda found: _other(found[0], ids), take["asked"]["voice"])}
        }
        for take in takes
    ]
    return data | {"draft": draft | {"speakers": speakers}, "takes": renamed}


def _other(named: str, ids: Mapping[str, str]) -> str:
    return f"reference: {ids.get(named.removeprefix('reference: '), 'gone:0')}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
