"""Voices as values: smart, described in words, or a reference recording; and a reference with its label.

A voice is *smart* (the model chooses), *described* in words, or a *reference*: a short recording with its transcript
and its owner's consent. Where references are kept stands in `voice_library.py`.
"""

from dataclasses import dataclass, field
from typing import Any

from studio.audio import Audio
from studio.codes import Codes
from studio.consent import Consent
from studio.lab.mends import Mend
from studio.text import clean, speakable

LONGEST_REFERENCE_SECONDS = 30.0
MAX_NAME_CHARACTERS = 40
MAX_TRANSCRIPT_CHARACTERS = 1_000


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
