"""Voices: who may speak, and the library they are kept in.

A voice is *smart* (the model chooses), *described* in words, or a *reference*: a short recording with
its transcript. Bundled voices are read-only files in `assets/voices/`. A visitor's own voices lie in
folders named by a token nobody can guess, which is what the page remembers.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from studio.audio import Audio, Recording, read_wav, write_wav
from studio.codes import Codes
from studio.errors import BadAudio, BadConversation, BadSetting
from studio.text import check_length, clean, speakable
from studio.workspace import Workspace

LONGEST_REFERENCE_SECONDS = 30.0
MAX_TRANSCRIPT_CHARACTERS = 1_000
MAX_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class Reference:
    """A recording for the model to speak like, and what is said in it."""

    file_name: str
    transcript: str
    audio: Audio | None = field(default=None, compare=False)  # None: named by an import, not attached yet
    codes: Codes | None = field(default=None, compare=False)  # known already: nothing needs encoding


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

    id: str  # "bundled:NAME" or "own:TOKEN"
    name: str
    reference: Reference = field(compare=False)
    gender: str = ""
    origin: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()

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
        }


class VoiceLibrary:
    """The bundled voices, and those that visitors add."""

    def __init__(self, bundled_folder: Path, own: Workspace) -> None:
        self._folder = bundled_folder
        self._own = own

    @cached_property
    def bundled(self) -> dict[str, LibraryVoice]:
        """Bundled voices by id. The index is read once, the sound with it."""
        index = json.loads((self._folder / "voices.json").read_text("utf-8"))
        return {f"bundled:{key}": self._read_bundled(key, entry) for key, entry in index.items()}

    def _read_bundled(self, key: str, entry: dict[str, str]) -> LibraryVoice:
        file_name = f"{key}.flac"
        reference = Reference(file_name, entry["transcript"], read_wav(self._folder / file_name))
        return LibraryVoice(
            f"bundled:{key}", entry["name"], reference, entry["gender"], entry["made_with"], entry["licence"]
        )

    def find(self, voice_id: str) -> LibraryVoice:
        """Look a voice up by its id.

        Raises:
            BadConversation: there is none of this id, or it has been deleted since.
        """
        kind, _, key = voice_id.partition(":")
        if kind == "bundled" and voice_id in self.bundled:
            return self.bundled[voice_id]
        folder = self._own.find(key) if kind == "own" else None
        if folder is None or not (folder / "voice.json").exists():
            raise BadConversation("A chosen voice is no longer here. Choose another, or add it again.")
        entry = json.loads((folder / "voice.json").read_text("utf-8"))
        reference = Reference(entry["file_name"], entry["transcript"], read_wav(folder / "reference.wav"))
        return LibraryVoice(
            voice_id, entry["name"], reference, origin="recorded or uploaded by you", notes=tuple(entry["notes"])
        )

    def add(self, recording: Recording, name: str, transcript: str, file_name: str) -> LibraryVoice:
        """Keep a visitor's recording as a voice.

        Raises:
            BadAudio: it is longer than a reference may be.
            BadConversation: the name or the transcript is missing or too long.
        """
        name, transcript = clean(name).strip(), clean(transcript).strip()
        check_length(name, "The name", MAX_NAME_CHARACTERS)
        check_length(transcript, "The transcript", MAX_TRANSCRIPT_CHARACTERS)
        if recording.audio.duration_seconds > LONGEST_REFERENCE_SECONDS:
            raise BadAudio(
                f"The recording lasts {recording.audio.duration_seconds:.0f} s; a reference may last "
                f"{LONGEST_REFERENCE_SECONDS:.0f} s. Trim it with the scissors below the waveform."
            )
        if not name:
            raise BadConversation("Give the voice a name.")
        if not speakable(transcript):
            raise BadConversation("Type what is said in the recording: the model needs the words to clone the voice.")
        token, folder = self._own.make()
        write_wav(recording.audio, folder / "reference.wav")
        entry = {"name": name, "transcript": transcript, "file_name": file_name, "notes": list(recording.notes)}
        (folder / "voice.json").write_text(json.dumps(entry, ensure_ascii=False), "utf-8")
        return self.find(f"own:{token}")

    def remove(self, voice_id: str) -> None:
        """Delete a visitor's voice with its recording.

        Raises:
            BadSetting: it is a bundled voice.
        """
        kind, _, key = voice_id.partition(":")
        if kind != "own":
            raise BadSetting("Bundled voices stay.")
        self._own.remove(key)
