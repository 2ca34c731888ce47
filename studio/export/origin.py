"""Origin: what made a piece of speech, written into every file that can hold it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.draft import Draft
from studio.errors import BadConversation
from studio.takes import Reading
from studio.text import clean
from studio.version import STUDIO
from studio.voice_library import VoiceLibrary

SYNTHETIC = "Synthetic speech, made by a machine"
LONGEST_COMMENT = 4_000


@dataclass(frozen=True)
class VoiceOrigin:
    """Where the voice of one of the cast comes from."""

    speaker: str
    kind: str  # smart, described or reference
    about: str = ""  # the description, or the name of the reference
    licence: str = ""
    consent: dict[str, str] | None = None  # the statement that a cloned voice may be used

    def __post_init__(self) -> None:
        for name in ("speaker", "about"):
            object.__setattr__(self, name, " ".join(clean(getattr(self, name)).split()))

    def as_json(self) -> dict[str, Any]:
        """For files."""
        parts: dict[str, Any] = {"speaker": self.speaker, "kind": self.kind}
        if self.about:
            parts["about"] = self.about
        if self.licence:
            parts["licence"] = self.licence
        if self.kind == "reference":
            parts["consent"] = self.consent
        return parts


@dataclass(frozen=True)
class Origin:
    """What is the same for all files of an export."""

    title: str = ""
    voices: tuple[VoiceOrigin, ...] = ()
    codec: str = ""  # title of the tokenizer
    licence: str = ""  # of the checkpoint

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", " ".join(clean(self.title).split()))

    def as_json(self, reading: Reading) -> dict[str, Any]:
        """What made a reading, for files."""
        return {
            "synthetic": True,
            "note": SYNTHETIC,
            "studio": STUDIO,
            "checkpoints": _checkpoints(reading),
            "codec": self.codec,
            "licence": self.licence,
            "seeds": _seeds(reading),
            "voices": [voice.as_json() for voice in self.voices],
        }

    def tags(self, reading: Reading, title: str) -> dict[str, str]:
        """What made it, as the tags that sound files have."""
        seeds = _seeds(reading)
        parts = [
            f"{SYNTHETIC} with {STUDIO}",
            f"checkpoint {', '.join(_checkpoints(reading))}",
            f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
        ]
        for voice in self.voices:
            if voice.kind == "reference":
                consent = voice.consent
                said = f"“{consent['statement']}” ({consent['said_by']}, {consent['date']})" if consent else "not given"
                parts.append(f"{voice.speaker} speaks in the voice “{voice.about}”, consent: {said}")
        comment = ". ".join(parts) + "."
        if len(comment) > LONGEST_COMMENT:
            comment = comment[: LONGEST_COMMENT - 1] + "…"
        return {"title": title, "software": STUDIO, "comment": comment}


def voices_of(draft: Draft, voices: VoiceLibrary) -> tuple[VoiceOrigin, ...]:
    """Where the voices of a cast come from. One that is gone is named by its id, without consent."""
    return tuple(_voice(name, speaker, voices) for name, speaker in zip(draft.names, draft.speakers, strict=True))


def _voice(name: str, speaker: dict[str, str], voices: VoiceLibrary) -> VoiceOrigin:
    if speaker["kind"] != "reference":
        return VoiceOrigin(name, speaker["kind"], speaker["description"] if speaker["kind"] == "described" else "")
    try:
        voice = voices.look(speaker["reference"])
    except BadConversation:
        return VoiceOrigin(name, "reference", speaker["reference"].partition(":")[0])
    consent = voice.consent
    return VoiceOrigin(name, "reference", voice.name, voice.licence, consent.as_json() if consent else None)


def _checkpoints(reading: Reading) -> list[str]:
    return list(dict.fromkeys(place.take.checkpoint for place in reading.placements))


def _seeds(reading: Reading) -> Sequence[int]:
    return [place.take.sampling.seed for place in reading.placements]
