"""What the page is given to work with. It makes none of it and never sees a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.codes import Codec
from studio.presets import Preset
from studio.serve.jobs import Jobs
from studio.ui.offers import CodecFamily
from studio.voices import VoiceLibrary
from studio.workspace import Workspace

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Studio:
    """The collaborators of the page."""

    jobs: Jobs
    codec: Codec
    codec_title: str
    codec_licence: str
    checkpoint_title: str  # who is speaking, always shown
    checkpoint_about: str
    checkpoint_licence: str
    voices: VoiceLibrary
    presets: Mapping[str, Preset]
    readings: Workspace  # spoken conversations and compared clips, by token
    codecs: Sequence[CodecFamily]  # what the lab compares; the first is the one that speaks


def static(name: str) -> str:
    """A file of `studio/ui/static/`."""
    return (STATIC / name).read_text("utf-8")
