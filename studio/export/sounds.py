"""Sound files as people want them: WAV, FLAC, MP3 and Opus, with tags that say what made them."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import soundfile

from studio.audio import Audio, timeless
from studio.errors import BadSetting


@dataclass(frozen=True)
class SoundForm:
    """A kind of sound file."""

    key: str
    label: str
    ending: str
    container: str
    subtype: str
    whole: bool = True  # samples over full scale do not fit into it
    exact: bool = True  # what is read back is what was written, to the depth of the form
    rates: tuple[int, ...] = ()  # Hz; empty: any


RATES_OF_OPUS = (8_000, 12_000, 16_000, 24_000, 48_000)
RATES_OF_MP3 = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
FORMS = {
    form.key: form
    for form in (
        SoundForm("wav32", "WAV, 32-bit float: exact", "wav", "WAV", "FLOAT", whole=False),
        SoundForm("wav24", "WAV, 24-bit", "wav", "WAV", "PCM_24"),
        SoundForm("wav16", "WAV, 16-bit", "wav", "WAV", "PCM_16"),
        SoundForm("flac", "FLAC, 24-bit", "flac", "FLAC", "PCM_24"),
        SoundForm("mp3", "MP3", "mp3", "MP3", "MPEG_LAYER_III", exact=False, rates=RATES_OF_MP3),
        SoundForm("opus", "Opus", "opus", "OGG", "OPUS", exact=False, rates=RATES_OF_OPUS),
    )
}


def sound_form(key: str) -> SoundForm:
    """A kind of sound file by its key.

    Raises:
        BadSetting: there is none such.
    """
    if key not in FORMS:
        raise BadSetting(f"There is no sound format “{key}”. There are: {', '.join(FORMS)}.")
    return FORMS[key]


def sound_file(audio: Audio, form: SoundForm, tags: Mapping[str, str] | None = None) -> bytes:
    """A sound file. What a form cannot hold is for the caller to prevent: see `headroom`.

    Args:
        audio: `[C, N]`; resampled where the form knows only some rates.
        form: The kind of file.
        tags: `title`, `artist`, `software`, `comment`, `date`, as far as the kind of file has them.
    """
    rate = audio.sample_rate
    if form.rates and rate not in form.rates:
        audio = audio.resampled(next((one for one in form.rates if one >= rate), form.rates[-1]))
    target = io.BytesIO()
    with soundfile.SoundFile(
        target, "w", audio.sample_rate, audio.channels, form.subtype, format=form.container
    ) as file:
        for name, text in (tags or {}).items():
            setattr(file, name, text.replace("\0", ""))
        file.write(audio.samples.T)
    return timeless(target.getvalue()) if form.container == "WAV" else target.getvalue()


def headroom(peak: float, form: SoundForm) -> float:
    """The factor that fits a peak into a form: 1 where it does already. The same for all files that belong together."""
    return 1.0 if not form.whole or peak < FULL_SCALE else FULL_SCALE / peak


FULL_SCALE = 1 - 2**-15  # the largest sample that 16 bits hold


def scaled(audio: Audio, factor: float) -> Audio:
    """Sound times a factor; at 1 it is the very same."""
    return audio if factor == 1.0 else Audio(audio.samples * np.float32(factor), audio.sample_rate)
