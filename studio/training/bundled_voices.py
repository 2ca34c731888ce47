"""How the voices in `assets/voices/` are made: `python -m studio.training.bundled_voices`.

Each is two short sentences by espeak-ng, trimmed, faded and levelled, with the words it says.
"""

import json
from pathlib import Path

import librosa
import numpy as np
import pyloudnorm

from studio.audio import Audio, write_flac
from studio.training.espeak import EspeakVoice, synthesise

FOLDER = Path(__file__).parent.parent.parent / "assets" / "voices"
SAMPLE_RATE = 24_000  # Hz
LOUDNESS_LUFS = -23.0
PADDING_SECONDS = 0.12  # quiet at both ends: a voice that breaks off makes every line break off
LICENCE = "CC0-1.0"

VOICES = {
    "alma": ("Alma", "feminine", EspeakVoice("en-us", "f2", 55, 160), "The kettle is on. Come in and sit down."),
    "bruno": (
        "Bruno",
        "masculine",
        EspeakVoice("en-us", "m3", 38, 155),
        "Good evening. The last train leaves at nine.",
    ),
    "clara": ("Clara", "feminine", EspeakVoice("en-gb", "f4", 62, 170), "I found the letter under the old oak tree."),
    "dorian": (
        "Dorian",
        "masculine",
        EspeakVoice("en-gb", "m1", 45, 165),
        "Nobody told me that the bridge was closed.",
    ),
    "edda": (
        "Edda",
        "feminine",
        EspeakVoice("en-gb-scotland", "f3", 50, 160),
        "It rained all night, and the river rose.",
    ),
    "farid": (
        "Farid",
        "masculine",
        EspeakVoice("en-gb-x-rp", "m7", 30, 150),
        "We open at eight. Bring a warm coat with you.",
    ),
    "greta": ("Greta", "feminine", EspeakVoice("en-us", "f5", 75, 180), "Look, the lights came back on again!"),
    "hugo": (
        "Hugo",
        "masculine",
        EspeakVoice("en-gb", "m5", 55, 175),
        "Turn left at the church and then go straight on.",
    ),
}


def finished(audio: Audio) -> Audio:
    """Trim silence, level, fade in and out, and leave a little quiet at both ends."""
    trimmed, _ = librosa.effects.trim(audio.samples[0], top_db=45)
    loudness = pyloudnorm.Meter(audio.sample_rate).integrated_loudness(trimmed)
    levelled = trimmed * 10 ** ((LOUDNESS_LUFS - loudness) / 20)
    fade = np.linspace(0, 1, audio.sample_rate // 200, dtype=np.float32)
    levelled[: fade.size] *= fade
    levelled[-fade.size :] *= fade[::-1]
    padded = np.pad(levelled, round(PADDING_SECONDS * audio.sample_rate))
    return Audio(padded[None], audio.sample_rate)


def main() -> None:
    """Make every bundled voice and the index that names them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    index = {}
    for key, (name, gender, voice, transcript) in VOICES.items():
        write_flac(finished(synthesise(transcript, voice, SAMPLE_RATE)), FOLDER / f"{key}.flac")
        how = f"espeak-ng {voice.accent}+{voice.variant}, pitch {voice.pitch}, {voice.words_per_minute} words a minute"
        index[key] = {"name": name, "gender": gender, "transcript": transcript, "made_with": how, "licence": LICENCE}
    (FOLDER / "voices.json").write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
