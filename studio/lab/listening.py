"""Fair listening: versions of one clip brought to one loudness, and files that tell nothing but their sound."""

import os
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from studio.audio import Audio
from studio.lab.metrics import SHORTEST_LOUDNESS_SECONDS, SILENT_PEAK, fitted, loudness_lufs

PEAK_DBFS = -1.0  # no version is raised above it: all are turned down together instead
STIMULUS_BITS = 24
SAME_MOMENT = 1_600_000_000  # seconds: the modification time of every stimulus file


@dataclass(frozen=True, eq=False)
class Levelled:
    """One version at the common loudness."""

    audio: Audio
    gain_db: float
    note: str = ""  # how its level was measured, where not as integrated loudness


def secret_seed() -> int:
    """A seed nobody can guess, for shuffling what listeners must not know."""
    return secrets.randbits(128)


def level_matched(versions: Mapping[str, Audio], reference: str) -> dict[str, Levelled]:
    """Bring all versions to the loudness of one of them.

    Loudness is integrated LUFS (ITU-R BS.1770-4). Clips under 0.4 s, or below its gate, have none: their RMS is
    matched and the note says so. A silent version is left as it is. If a version would then exceed -1 dBFS, all are
    turned down by the same amount, the reference too.

    Args:
        versions: Sound by name, of one clip.
        reference: The name whose loudness the others take.

    Returns:
        Each version with its gain in dB, as it is to be shown.
    """
    heard = [name for name, audio in versions.items() if audio.peak >= SILENT_PEAK]
    loudness = {name: loudness_lufs(versions[name]).value for name in heard}
    by_rms = None in loudness.values()
    levels = {name: versions[name].rms_dbfs if by_rms else loudness[name] or 0.0 for name in heard}
    gains = {name: levels[reference] - levels[name] if {name, reference} <= set(heard) else 0.0 for name in versions}
    peaks = [20 * np.log10(audio.peak) + gains[name] for name, audio in versions.items() if audio.peak > 0]
    down = min(0.0, PEAK_DBFS - max(peaks, default=PEAK_DBFS))
    return {
        name: Levelled(_with_gain(audio, gains[name] + down), gains[name] + down, _level_note(audio, by_rms))
        for name, audio in versions.items()
    }


def _level_note(audio: Audio, by_rms: bool) -> str:
    if audio.peak < SILENT_PEAK:
        return "silent, so its level was left alone"
    if not by_rms:
        return ""
    short = audio.duration_seconds < SHORTEST_LOUDNESS_SECONDS
    why = f"under {SHORTEST_LOUDNESS_SECONDS:g} s" if short else "one version is too quiet"
    return f"matched by RMS: {why} for a loudness"


def _with_gain(audio: Audio, gain_db: float) -> Audio:
    return audio if gain_db == 0 else Audio(audio.samples * np.float32(10 ** (gain_db / 20)), audio.sample_rate)


def alike(versions: Mapping[str, Audio], reference: str) -> dict[str, Audio]:
    """Versions as stimuli: one channel, one sample rate (the highest among them), the reference's length."""
    sample_rate = max(audio.sample_rate for audio in versions.values())
    length = round(versions[reference].duration_seconds * sample_rate)
    return {name: fitted(audio.mono().resampled(sample_rate), length) for name, audio in versions.items()}


def write_stimuli(sounds: Sequence[Audio], folder: Path, rng: random.Random) -> list[Path]:
    """Write sounds as files whose name, size, format and date are no clue to which is which.

    Each is a 24-bit WAV named by a random token, written in random order, and dithered on its own (triangular, below
    -138 dBFS), so that two files of the same sound, as X and A in an ABX test, have no equal bytes to be compared.

    Args:
        sounds: From `alike`: one rate, one length.
        folder: Where; made if absent.
        rng: Seeded with a secret.

    Returns:
        One path a sound, in their order.
    """
    if len({(sound.samples.shape, sound.sample_rate) for sound in sounds}) > 1:
        raise ValueError("stimuli must be of one length, channel count and sample rate")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{rng.getrandbits(128):032x}.wav" for _ in sounds]
    for index in rng.sample(range(len(sounds)), len(sounds)):
        noise = np.random.default_rng(rng.getrandbits(128))
        _write_dithered(sounds[index], paths[index], noise)
    return paths


def _write_dithered(sound: Audio, path: Path, noise: np.random.Generator) -> None:
    full_scale = 2 ** (STIMULUS_BITS - 1)
    steps = sound.samples.T.astype(np.float64) * full_scale
    steps += noise.random(steps.shape) - noise.random(steps.shape)
    whole = np.clip(np.rint(steps), -full_scale, full_scale - 1).astype(np.int32)
    # libsndfile takes the upper 24 of 32 bits.
    soundfile.write(path, whole << 8, sound.sample_rate, format="WAV", subtype="PCM_24")
    os.utime(path, (SAME_MOMENT, SAME_MOMENT))
