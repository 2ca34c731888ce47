"""Voices: who may speak, and the library they are kept in.

A voice is *smart* (the model chooses), *described* in words, or a *reference*: a short recording with its transcript
and its owner's consent. Bundled voices are read-only files in `assets/voices/`. A visitor's own voices lie in folders
named by a token nobody can guess, which is what the page remembers; knowing it is the right to change the voice. Where
the operator keeps a store, finished voices are listed for everybody under another id, which only lets them speak.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from soundfile import LibsndfileError

from studio.audio import Audio, Recording, read_wav, write_wav
from studio.codes import Codes
from studio.consent import Consent
from studio.errors import BadAudio, BadConversation, BadSetting
from studio.lab import mends as mending
from studio.lab.mends import Mend, mended
from studio.text import check_length, clean, speakable
from studio.workspace import KEPT_SECONDS, Workspace

LONGEST_REFERENCE_SECONDS = 30.0
MAX_TRANSCRIPT_CHARACTERS = 1_000
MAX_NAME_CHARACTERS = 40
MAX_DESCRIPTION_CHARACTERS = 400
MAX_TAGS, MAX_TAG_CHARACTERS = 12, 24
MAX_VOICES = 500  # in one library; beyond it something is wrong, or somebody means harm
RECORDING, REFERENCE, ENTRY, STATEMENT = "recording.wav", "reference.wav", "voice.json", "statement.wav"
UNNAMED = "New voice"
GONE = "A chosen voice is no longer here. Choose another, or add it again."

SYNTHETIC = Consent(
    "No person: a synthetic voice",
    "Higgs Studio",
    "Made with espeak-ng for this studio and given away under CC0-1.0: any use.",
    "2026-11-20",
)


@dataclass(frozen=True)
class Reference:
    """A recording for the model to speak like, and what is said in it."""

    file_name: str
    transcript: str
    audio: Audio | None = field(default=None, compare=False)  # None: named by an import, not attached yet
    codes: Codes | None = field(default=None, compare=False)  # known already: nothing needs encoding
    consent: Consent | None = field(default=None, compare=False)  # every voice of the library that speaks has one


@dataclass(frozen=True)
class Voice:
    """How a speaker sounds. All fields empty: the model chooses."""

    description: str = ""  # for example "feminine" or "an old man, slow and warm"
    reference: Reference | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "description", " ".join(clean(self.description).split()))

    @property
    def kind(self) -> str:
        """`smart`, `described` or `reference`."""
        return "reference" if self.reference else "described" if self.description else "smart"


@dataclass(frozen=True)
class LibraryVoice:
    """A reference voice with its label, as the library holds it."""

    id: str  # "bundled:NAME", "own:TOKEN" or "shared:ID"
    name: str
    reference: Reference = field(compare=False)
    gender: str = ""
    origin: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    mends: tuple[Mend, ...] = ()  # what was done to the recording to make the reference

    @property
    def consent(self) -> Consent | None:
        """Whose voice it is and who allowed its use; None: nobody said so yet."""
        return self.reference.consent

    @property
    def missing(self) -> tuple[str, ...]:
        """What hinders it from speaking, each as a sentence that says what to do."""
        audio = self.reference.audio
        seconds = audio.duration_seconds if audio else 0.0
        return tuple(
            words
            for words, wrong in (
                (
                    f"It lasts {seconds:.0f} s; trim it to at most {LONGEST_REFERENCE_SECONDS:.0f} s.",
                    seconds > LONGEST_REFERENCE_SECONDS,
                ),
                (
                    "Type what is said in the recording: the model needs the words to clone the voice.",
                    not speakable(self.reference.transcript),
                ),
                ("Give the consent statement: whose voice it is, and who allowed its use.", self.consent is None),
            )
            if wrong
        )

    def card(self) -> dict[str, Any]:
        """What the page shows of it: label, words, length, and a small outline of the waveform."""
        audio = self.reference.audio
        assert audio is not None
        outline = audio.peaks(96)
        return {
            "id": self.id,
            "name": self.name,
            "transcript": self.reference.transcript,
            "gender": self.gender,
            "seconds": round(audio.duration_seconds, 2),
            "outline": [round(float(value), 3) for value in outline / max(outline.max(), 1e-6)],
            "notes": list(self.notes),
            "description": self.description,
            "tags": list(self.tags),
            "origin": self.origin,
            "licence": self.licence,
            "missing": list(self.missing),
        }


class VoiceLibrary:
    """The bundled voices, and those that visitors add."""

    def __init__(
        self,
        bundled_folder: Path,
        own: Workspace,
        *,
        shared: bool = False,
        copies: Workspace | None = None,
        forget: Callable[[Reference], None] = lambda reference: None,
    ) -> None:
        """Open it.

        Args:
            bundled_folder: Recordings with an index, `voices.json`.
            own: Where the voices of visitors are kept.
            shared: Finished ones are listed for everybody.
            copies: Where the page puts copies for listening; they go with their voice.
            forget: Told of a reference that is no more, so that what was computed of it can go too.
        """
        self.shared = shared
        self._folder = bundled_folder
        self._own = own
        self._copies = copies
        self._forget = forget
        self._bundled_copies: dict[str, dict[str, str]] = {}
        self._writing = threading.Lock()

    # ---- looking ----

    @cached_property
    def bundled(self) -> dict[str, LibraryVoice]:
        """Bundled voices by id. The index is read once, the sound with it."""
        index = json.loads((self._folder / "voices.json").read_text("utf-8"))
        return {f"bundled:{key}": self._read_bundled(key, entry) for key, entry in index.items()}

    def _read_bundled(self, key: str, entry: dict[str, str]) -> LibraryVoice:
        file_name = f"{key}.flac"
        reference = Reference(file_name, entry["transcript"], read_wav(self._folder / file_name), consent=SYNTHETIC)
        return LibraryVoice(
            f"bundled:{key}", entry["name"], reference, entry["gender"], entry["made_with"], entry["licence"]
        )

    def find(self, voice_id: str) -> LibraryVoice:
        """Look a voice up to speak with it.

        Raises:
            BadConversation: there is none of this id, it has been deleted since, or it may not speak yet.
        """
        voice = self.look(voice_id)
        if voice.missing:
            raise BadConversation(f"“{voice.name}” cannot speak yet (tab Voices). {' '.join(voice.missing)}")
        return voice

    def look(self, voice_id: str) -> LibraryVoice:
        """Look a voice up, whether or not it may speak yet.

        Raises:
            BadConversation: there is none of this id, or it has been deleted since.
        """
        if voice_id in self.bundled:
            return self.bundled[voice_id]
        try:
            return _read_voice(voice_id, self._folder_of(voice_id))
        except (FileNotFoundError, LibsndfileError):  # deleted between two looks
            raise BadConversation(GONE) from None

    def everybodys(self) -> list[LibraryVoice]:
        """The finished voices of the operator's store, newest last; none where there is no store."""
        if not self.shared:
            return []
        folders = [self._own.root / token for token in self._own.tokens()]
        kept = sorted((folder for folder in folders if (folder / ENTRY).exists()), key=_age)
        voices = []
        for folder in kept:
            with suppress(FileNotFoundError, LibsndfileError):  # its owner may be deleting it just now
                voices.append(_read_voice(public_id(f"own:{folder.name}"), folder))
        return [voice for voice in voices if not voice.missing]

    def recording(self, voice_id: str) -> Audio:
        """The recording a voice was made from, as it was given. Shape: `[C, N]`. Raises as `look`."""
        if voice_id in self.bundled:
            audio = self.bundled[voice_id].reference.audio
            assert audio is not None
            return audio
        folder = self._folder_of(voice_id)
        return read_wav(folder / (RECORDING if (folder / RECORDING).exists() else REFERENCE))

    def statement(self, voice_id: str) -> Path | None:
        """The file of a spoken consent statement, if there is one."""
        path = None if voice_id in self.bundled else self._folder_of(voice_id) / STATEMENT
        return path if path and path.exists() else None

    def _folder_of(self, voice_id: str) -> Path:
        kind, _, key = voice_id.partition(":")
        if kind == "shared" and self.shared:
            key = next((token for token in self._own.tokens() if public_id(f"own:{token}") == voice_id), "")
        folder = self._own.find(key) if kind == "own" or (kind == "shared" and key) else None
        if folder is None or not (folder / ENTRY).exists():
            raise BadConversation(GONE)
        return folder

    # ---- changing ----

    def begin(self, recording: Recording, file_name: str) -> LibraryVoice:
        """Keep a recording as a voice that cannot speak yet: words and consent are still to come.

        Raises:
            BadConversation: the library is full.
            StudioError: the disk does not take it.
        """
        if self.shared:
            self._drop_unfinished()
        if len(self._own.tokens()) >= MAX_VOICES:
            raise BadConversation("The library is full. Delete voices you no longer need, or try again tomorrow.")
        token, folder = self._own.make()
        write_wav(recording.audio, folder / RECORDING)
        write_wav(recording.audio.mono(), folder / REFERENCE)
        name = " ".join(clean(Path(file_name).stem).split())[:MAX_NAME_CHARACTERS].strip()
        unnamed = not name or name.lower().startswith("audio")  # what browsers call what they recorded
        entry = {
            "name": UNNAMED if unnamed else name,
            "transcript": "",
            "file_name": file_name,
            "notes": list(recording.notes),
        }
        _write_entry(folder, entry)
        return self.look(f"own:{token}")

    def _drop_unfinished(self) -> None:
        """What a store keeps for good are voices: what nobody finished within a day goes."""
        for token in self._own.tokens():
            entry = self._own.root / token / ENTRY
            if (
                entry.exists()
                and entry.stat().st_mtime < time.time() - KEPT_SECONDS
                and self.look(f"own:{token}").missing
            ):
                self.remove(f"own:{token}")

    def add(
        self,
        recording: Recording,
        name: str,
        transcript: str,
        file_name: str,
        consent: Consent,
        mends: Sequence[Mend] = (),
    ) -> LibraryVoice:
        """Keep a recording as a voice that can speak at once.

        Raises:
            BadAudio: what the mends leave of it is longer than a reference may be.
            BadConversation: name or transcript is missing or too long.
        """
        if not speakable(clean(transcript)):
            raise BadConversation("Type what is said in the recording: the model needs the words to clone the voice.")
        _label(name, "", (), transcript)
        fitting = mending.fitted(mends, recording.audio)
        seconds = mended(recording.audio, fitting).duration_seconds
        if seconds > LONGEST_REFERENCE_SECONDS:
            raise BadAudio(
                f"The recording lasts {seconds:.0f} s; a reference may last {LONGEST_REFERENCE_SECONDS:.0f} s. "
                "Trim it to the 3 to 10 s that sound best."
            )
        voice = self.begin(recording, file_name)
        if fitting:
            self.mend(voice.id, fitting)
        return self.edit(voice.id, name=name, transcript=transcript, consent=consent)

    def edit(
        self,
        voice_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        transcript: str | None = None,
        consent: Consent | None = None,
    ) -> LibraryVoice:
        """Change the label of a visitor's voice; what is None stays.

        Raises:
            BadConversation: it is gone, or something is missing or too long.
            BadSetting: it is not the visitor's to change.
        """
        folder = self._changeable(voice_id)
        with self._writing:
            entry = _read_entry(folder)
            label = _label(
                entry["name"] if name is None else name,
                entry.get("description", "") if description is None else description,
                entry.get("tags", []) if tags is None else tags,
                entry["transcript"] if transcript is None else transcript,
            )
            spoken = folder / STATEMENT
            if consent is not None:
                fingerprint = hashlib.sha256(spoken.read_bytes()).hexdigest() if spoken.exists() else ""
                label["consent"] = replace(consent, recording=fingerprint).as_json()
            _write_entry(folder, entry | label)
        return self.look(voice_id)

    def mend(self, voice_id: str, mends: Sequence[Mend]) -> LibraryVoice:
        """Make the reference anew from the recording with these mends and no others.

        Raises:
            BadAudio, BadSetting: a mend does not fit the recording. Nothing is changed then.
        """
        folder = self._changeable(voice_id)
        recording = self.recording(voice_id)
        fitting = mending.fitted(mends, recording)
        old = self.look(voice_id)
        with self._writing:
            write_wav(mended(recording, fitting).mono(), folder / REFERENCE)
            _write_entry(folder, _read_entry(folder) | {"mends": mending.as_json(fitting)})
        self._forget(old.reference)
        return self.look(voice_id)

    def attach_statement(self, voice_id: str, spoken: Audio | bytes) -> LibraryVoice:
        """Keep a spoken consent statement with a voice, and its fingerprint in the written one if there is one.

        Args:
            voice_id: Whose.
            spoken: The sound; or the very file of one, which has been read before and keeps its fingerprint.
        """
        path = self._changeable(voice_id) / STATEMENT
        if isinstance(spoken, bytes):
            path.write_bytes(spoken)
        else:
            write_wav(spoken, path)
        consent = self.look(voice_id).consent
        return self.look(voice_id) if consent is None else self.edit(voice_id, consent=consent)

    def copy_of(self, voice_id: str, kind: str) -> str:
        """The folder's token of a copy that the page made for listening; empty if there is none any more."""
        token = self._copies_of(voice_id).get(kind, "")
        return token if self._copies and self._copies.find(token) else ""

    def remember_copy(self, voice_id: str, kind: str, token: str) -> None:
        """Note such a copy, so that it goes with the voice. Earlier ones stay: another visitor may be listening."""
        with self._writing:
            tokens = self._copies_of(voice_id) | {kind: token}
            if voice_id in self.bundled:
                self._bundled_copies[voice_id] = tokens
                return
            folder = self._folder_of(voice_id)
            entry = _read_entry(folder)
            made = [one for one in entry.get("made", []) if self._copies and self._copies.root.joinpath(one).is_dir()]
            _write_entry(folder, entry | {"copies": tokens, "made": [*made, token]})

    def _copies_of(self, voice_id: str) -> dict[str, str]:
        if voice_id in self.bundled:
            return self._bundled_copies.get(voice_id, {})
        return _read_entry(self._folder_of(voice_id)).get("copies", {})

    def remove(self, voice_id: str) -> None:
        """Delete a visitor's voice: its recording, the copies made of it, and what was computed of it.

        Raises:
            BadSetting: it is a bundled voice, or another visitor's.
        """
        try:
            folder = self._changeable(voice_id)
        except BadConversation:
            return  # gone already
        voice, copies = self.look(voice_id), _read_entry(folder).get("made", [])
        self._own.remove(folder.name)
        self._forget(voice.reference)
        for token in copies if self._copies else ():
            self._copies.remove(token)  # type: ignore[union-attr]

    def _changeable(self, voice_id: str) -> Path:
        if voice_id.startswith("bundled:"):
            raise BadSetting("Bundled voices stay as they are.")
        if voice_id.startswith("shared:"):
            raise BadSetting("Only who added this voice can change or delete it.")
        return self._folder_of(voice_id)


def public_id(voice_id: str) -> str:
    """The id under which everybody may speak with a voice of the store; it does not tell the one that may change it."""
    return f"shared:{hashlib.sha256(voice_id.encode()).hexdigest()[:32]}"


def _label(name: str, description: str, tags: Sequence[str], transcript: str) -> dict[str, Any]:
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


def _read_voice(voice_id: str, folder: Path) -> LibraryVoice:
    entry = _read_entry(folder)
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


def _read_entry(folder: Path) -> dict[str, Any]:
    return json.loads((folder / ENTRY).read_text("utf-8"))


def _write_entry(folder: Path, entry: dict[str, Any]) -> None:
    part = folder / f"{ENTRY}.part"
    part.write_text(json.dumps(entry, ensure_ascii=False), "utf-8")
    part.replace(folder / ENTRY)


def _age(folder: Path) -> float:
    try:
        return (folder / RECORDING).stat().st_mtime
    except FileNotFoundError:  # of an earlier studio, or being deleted
        return 0.0
