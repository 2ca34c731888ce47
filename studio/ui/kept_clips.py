"""Clips of the lab on disk: the original and what each codec made of it, as the exact WAVs the bench plays.

Each clip has a folder of its own in the workspace, so its token is all that the page, the blind tests and the code
panel need to know of it. Every version is written at one sample rate, since a browser switches between versions
sample by sample only where they share one clock.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.audio import Audio, read_wav, write_wav
from studio.codes import Codes
from studio.errors import StudioError
from studio.lab.codemap import StoredCodes, codebook_facts, packed, unpacked
from studio.lab.compare import ORIGINAL
from studio.lab.listening import level_matched
from studio.lab.metrics import fitted
from studio.lab.pictures import codes_for_page, mel_for_page
from studio.text import slug
from studio.workspace import Workspace

INDEX = "clip.json"
SOUND_SUFFIX = re.compile(r"\.(wav|flac|ogg|opus|mp3|aiff?|npz)\b", re.IGNORECASE)  # of what was uploaded
LOWEST_RATE, HIGHEST_RATE = 24_000, 96_000  # Hz: what the codecs give, and what every browser plays
GONE = "This comparison is no longer here: results are kept for a day. Compare again."


@dataclass(frozen=True)
class Made:
    """One version of a clip before it is written."""

    title: str
    audio: Audio
    facts: list[tuple[str, str]]
    stored: StoredCodes | None = None


def original(audio: Audio) -> Made:
    """The sound that went in, as the first version of a clip."""
    facts = [
        ("Sample rate", f"{audio.sample_rate / 1000:g} kHz"),
        ("Duration", f"{audio.duration_seconds:.2f} s"),
        ("Level", f"{audio.rms_dbfs:.1f} dBFS"),
    ]
    return Made(ORIGINAL, audio.mono(), facts)


class KeptClip:
    """One clip being filled with versions. `view` is what the page is told of it."""

    def __init__(self, name: str, first: Made, clips: Workspace) -> None:
        """Begin with the version the others are compared with; its length is the clip's."""
        sound = first.audio
        self.token, self._folder = clips.make()
        self._rate = min(HIGHEST_RATE, max(LOWEST_RATE, sound.sample_rate))
        self._length = round(sound.duration_seconds * self._rate)
        self._sounds: dict[str, Audio] = {}
        self.view: dict[str, Any] = {
            "name": name,
            "token": self.token,
            "rate": self._rate,
            "seconds": round(sound.duration_seconds, 4),
            "versions": [],
        }
        self.add(first)

    def add(self, made: Made) -> None:
        """Write a version: its sound at the clip's rate and, where it has them, its codes."""
        sound = fitted(made.audio.resampled(self._rate), self._length)
        number = len(self.view["versions"])
        stem = f"{number}-{slug(made.title, 'sound', 90)}"
        clip = self.view["name"]
        write_wav(sound, self._folder / f"{stem}.wav")
        if made.stored:
            (self._folder / f"{stem}.npz").write_bytes(packed(made.stored))
        self._sounds[f"{number}"] = sound
        facts = [*made.facts]
        if made.audio.sample_rate != self._rate:
            facts.append(("Played at", f"{self._rate / 1000:g} kHz, resampled from {made.audio.sample_rate / 1000:g}"))
        self.view["versions"].append(
            {
                "title": made.title,
                "name": file_stem(made.title if made.title == clip else f"{clip} {made.title}"),
                "file": f"{stem}.wav",
                "codes": f"{stem}.npz" if made.stored else "",
                "gain": None,
                "note": "",
                "facts": [list(fact) for fact in facts],
            }
        )
        self._save()

    def match_levels(self) -> None:
        """Note for each version how much louder it must be played to be as loud as the original (LUFS)."""
        for number, level in level_matched(self._sounds, "0").items():
            version = self.view["versions"][int(number)]
            version["gain"] = round(float(level.gain_db), 3)
            version["note"] = level.note
        self._save()

    def _save(self) -> None:
        (self._folder / INDEX).write_text(json.dumps(self.view, ensure_ascii=False), "utf-8")


def file_stem(words: str) -> str:
    """What a downloaded file is called, without its suffix: letters of any script and digits, joined by hyphens."""
    return slug(SOUND_SUFFIX.sub("", words), "sound", 100, any_script=True)


def find_clip(clips: Workspace, token: Any) -> tuple[dict[str, Any], Path]:
    """A clip's view and its folder.

    Raises:
        StudioError: it is not here any more, or never was.
    """
    folder = clips.find(token) if isinstance(token, str) else None
    if folder is None or not (folder / INDEX).is_file():
        raise StudioError(GONE)
    return json.loads((folder / INDEX).read_text("utf-8")), folder


def kept_version(clips: Workspace, token: Any, number: Any) -> tuple[str, Audio, StoredCodes | None]:
    """Title, sound and codes of one version of a clip. Raises as `find_clip`."""
    view, folder = find_clip(clips, token)
    if not isinstance(number, int) or not 0 <= number < len(view["versions"]):
        raise StudioError(GONE)
    version = view["versions"][number]
    stored = unpacked((folder / version["codes"]).read_bytes(), version["codes"]) if version["codes"] else None
    return version["title"], read_wav(folder / version["file"]), stored


def pictures(clips: Workspace, token: Any, number: Any) -> dict[str, Any]:
    """What is painted of one version: mel spectrogram, code map, and what each codebook carries."""
    _, audio, stored = kept_version(clips, token, number)
    return {
        "mel": mel_for_page(audio),
        "codes": codes_for_page(stored.codes) if stored else None,
        "books": _books(stored.codes) if stored else [],
    }


def _books(codes: Codes) -> list[dict[str, float]]:
    facts = codebook_facts(codes)
    return [
        {
            "codebook": int(row["codebook"]),
            "used": int(row["codes used"]),
            "share": round(float(row["share used"]), 5),
            "bits": round(float(row["entropy (bit/frame)"]), 3),
            "kbps": round(float(row["entropy (kbit/s)"]), 4),
        }
        for row in facts.to_dict("records")
    ]
