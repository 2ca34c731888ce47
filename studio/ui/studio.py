"""What the page is given to work with. It makes none of it and never sees a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from studio.audio import Audio, write_wav
from studio.codes import Codec
from studio.presets import Preset
from studio.project_store import ProjectStore
from studio.recognition import Recogniser
from studio.serve.jobs import Jobs
from studio.ui.comparison import Comparisons
from studio.ui.offers import Codecs
from studio.ui.project_view import ROUTE, ProjectViews
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace

STATIC = Path(__file__).parent / "static"
VOICE_SOUND = "voice.wav"


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
    line_words: int  # that it speaks reliably in one line; 0: unknown
    voices: VoiceLibrary
    recogniser: Recogniser
    presets: Mapping[str, Preset]
    projects: ProjectStore  # drafts with the takes of their lines, by token
    views: ProjectViews  # how they look
    readings: Workspace  # mixes and compared clips, by token
    codecs: Codecs  # of the lab; the first family is the one that speaks
    comparisons: Comparisons = field(default_factory=Comparisons)  # the lab's one queue, of page and programs alike

    def sound_of(self, voice_id: str, kind: str, audio: Audio) -> str:
        """Where a sound of a voice can be heard: a copy that is made once, and goes with the voice.

        Args:
            voice_id: Whose.
            kind: Which of its sounds, in a word; another sound needs another.
            audio: The sound.
        """
        token = self.voices.copy_of(voice_id, kind)
        if not token:
            token, folder = self.readings.make()
            write_wav(audio, folder / VOICE_SOUND)
            self.voices.remember_copy(voice_id, kind, token)
        return f"{ROUTE}/{token}/{VOICE_SOUND}"


def static(name: str) -> str:
    """A file of `studio/ui/static/`."""
    return (STATIC / name).read_text("utf-8")
