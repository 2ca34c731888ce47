"""Speech made by espeak-ng: known words in thousands of voices, for training, tests and the bundled voices.

espeak-ng (GPL-3.0) is run as a program; the sound it makes is free to use.
"""

import io
import shutil
import subprocess
from dataclasses import dataclass

import soundfile

from studio.audio import Audio
from studio.errors import StudioError


@dataclass(frozen=True)
class EspeakVoice:
    """One voice of espeak-ng."""

    accent: str = "en-us"
    variant: str = "m3"
    pitch: int = 50  # 0..99
    words_per_minute: int = 165


def synthesise(text: str, voice: EspeakVoice, sample_rate: int = 24_000) -> Audio:
    """Speak `text`. Shape of the samples: `[1, N]`, at espeak's own level.

    Raises:
        StudioError: espeak-ng is not installed, or it refused.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise StudioError(
            "espeak-ng is not installed. On Debian or Ubuntu: apt install espeak-ng; on macOS: brew install espeak-ng."
        )
    settings = ["-v", f"{voice.accent}+{voice.variant}", "-p", str(voice.pitch), "-s", str(voice.words_per_minute)]
    spoken = subprocess.run(
        [program, *settings, "--stdout", "--stdin"], input=text.encode(), capture_output=True, check=False
    )
    if spoken.returncode or not spoken.stdout:
        raise StudioError(f"espeak-ng could not speak as {voice}: {spoken.stderr.decode(errors='replace').strip()}")
    samples, rate = soundfile.read(io.BytesIO(spoken.stdout), dtype="float32", always_2d=True)
    return Audio(samples.T, rate).resampled(sample_rate)
