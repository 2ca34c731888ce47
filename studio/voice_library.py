"""The voice library: bundled voices, and those that visitors add.

Bundled voices are read-only files in `assets/voices/`. A visitor's own voices lie in folders named by a token nobody
can guess, which is what the page remembers; knowing it is the right to change the voice. Where the operator keeps a
store, finished voices are listed for everybody under another id, which only lets them speak.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from soundfile import LibsndfileError

from studio.audio import Audio, Recording, read_wav, write_wav
from studio.consent import Consent
from studio.errors import BadAudio, BadConversation, BadSetting
from studio.lab import mends as mending
from studio.lab.mends import Mend, mended
from studio.text import clean, speakable
from studio.voice_entry import (
    ENTRY,
    RECORDING,
    REFERENCE,
    STATEMENT,
    age,
    label,
    read_entry,
    read_voice,
    write_entry,
)
from studio.voices import (
    LONGEST_REFERENCE_SECONDS,
    MAX_NAME_CHARACTERS,
    LibraryVoice,
    Reference,
)
from studio.workspace import KEPT_SECONDS, Workspace

MAX_VOICES = 500  # in one library; beyond it something is wrong, or somebody means harm
UNNAMED = "New voice"
GONE = "A chosen voice is no longer here. Choose another, or add it again."

SYNTHETIC = Consent(
    "No person: a synthetic voice",
    "Higgs Studio",
    "Made with espeak-ng for this studio and given away under CC0-1.0: any use.",
    "2026-11-20",
)


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
        if not voice_id.startswith(("own:", "shared:")):
            bundled = ", ".join(self.bundled)
            raise BadConversation(
                f"There is no voice “{clean(voice_id)[:60]}”. Those that come with the studio: {bundled}. "
                "A voice of your own has the id that it was given when it was added."
            )
        try:
            return read_voice(voice_id, self._folder_of(voice_id))
        except (FileNotFoundError, LibsndfileError):  # deleted between two looks
            raise BadConversation(GONE) from None

    def everybodys(self) -> list[LibraryVoice]:
        """The finished voices of the operator's store, newest last; none where there is no store."""
        if not self.shared:
            return []
        folders = [self._own.root / token for token in self._own.tokens()]
        kept = sorted((folder for folder in folders if (folder / ENTRY).exists()), key=age)
        voices = []
        for folder in kept:
            with suppress(FileNotFoundError, LibsndfileError):  # its owner may be deleting it just now
                voices.append(read_voice(public_id(f"own:{folder.name}"), folder))
        return [voice for voice in voices if not voice.missing]

    def by_name(self, own: Sequence[str] = ()) -> dict[str, str]:
        """Ids of voices by what people call them: id or name in small letters.

        Of two that are called alike the first counts: a visitor's own (`own`, by id; what is gone is left out), then a
        bundled one, then one of everybody's.
        """
        theirs = []
        for voice_id in own:
            with suppress(BadConversation):
                theirs.append(self.look(voice_id))
        voices = [*theirs, *self.bundled.values(), *self.everybodys()]
        found = {voice.id.casefold(): voice.id for voice in voices}  # no name takes the place of an id
        for voice in voices:
            found.setdefault(voice.name.casefold(), voice.id)
        return found

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
        write_entry(folder, entry)
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
        label(name, "", (), transcript)
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
            entry = read_entry(folder)
            words = label(
                entry["name"] if name is None else name,
                entry.get("description", "") if description is None else description,
                entry.get("tags", []) if tags is None else tags,
                entry["transcript"] if transcript is None else transcript,
            )
            spoken = folder / STATEMENT
            if consent is not None:
                fingerprint = hashlib.sha256(spoken.read_bytes()).hexdigest() if spoken.exists() else ""
                words["consent"] = replace(consent, recording=fingerprint).as_json()
            write_entry(folder, entry | words)
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
            write_entry(folder, read_entry(folder) | {"mends": mending.as_json(fitting)})
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
            entry = read_entry(folder)
            made = [one for one in entry.get("made", []) if self._copies and self._copies.root.joinpath(one).is_dir()]
            write_entry(folder, entry | {"copies": tokens, "made": [*made, token]})

    def _copies_of(self, voice_id: str) -> dict[str, str]:
        if voice_id in self.bundled:
            return self._bundled_copies.get(voice_id, {})
        return read_entry(self._folder_of(voice_id)).get("copies", {})

    def remove(self, voice_id: str) -> None:
        """Delete a visitor's voice: its recording, the copies made of it, and what was computed of it.

        Raises:
            BadSetting: it is a bundled voice, or another visitor's.
        """
        try:
            folder = self._changeable(voice_id)
        except BadConversation:
            return  # gone already
        voice, copies = self.look(voice_id), read_entry(folder).get("made", [])
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
