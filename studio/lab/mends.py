"""Mends: what can be done to a reference recording, as values in a list. The recording itself is never changed.

A list of mends is applied in order, except that the stretch of time comes first: fades and offsets belong to the ends
of what is kept, not to what was cut away. The last `Trim` counts, and its positions are those of the recording.
Dropping the last mend of a list undoes it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from studio.audio import Audio
from studio.errors import BadAudio, BadSetting

SHORTEST_KEPT_SECONDS = 1.0
LONGEST_FADE_SECONDS = 1.0
MOST_GAIN_DB = 40.0
MOST_MENDS = 32


@dataclass(frozen=True)
class Trim:
    """Keep the samples from `start` to `stop`, end excluded, counted on the recording as it was given."""

    start: int
    stop: int


@dataclass(frozen=True)
class FadeTail:
    """Let the last `seconds` fall to silence along a squared cosine."""

    seconds: float


@dataclass(frozen=True)
class Gain:
    """Make it louder or quieter by `gain_db`."""

    gain_db: float


@dataclass(frozen=True)
class RemoveDc:
    """Subtract each channel's mean."""


@dataclass(frozen=True)
class ToMono:
    """One channel: the mean of both, or one of them where the other spoils the mix."""

    take: Literal["both", "left", "right"] = "both"


Mend = Trim | FadeTail | Gain | RemoveDc | ToMono

KINDS: dict[str, type[Mend]] = {"trim": Trim, "fade": FadeTail, "gain": Gain, "dc": RemoveDc, "mono": ToMono}


def mended(recording: Audio, mends: Sequence[Mend]) -> Audio:
    """The recording with the mends applied. Shape: `[C, N]` to `[C', N']`."""
    start, stop = kept_samples(recording, mends)
    audio = Audio(recording.samples[:, start:stop], recording.sample_rate)
    for mend in mends:
        audio = _APPLY[type(mend)](audio, mend)
    return audio


def kept_samples(recording: Audio, mends: Sequence[Mend]) -> tuple[int, int]:
    """The stretch of the recording that the mends keep, in samples, end excluded."""
    trims = [mend for mend in mends if isinstance(mend, Trim)]
    return (trims[-1].start, trims[-1].stop) if trims else (0, recording.length)


def on_recording(mend: Mend, recording: Audio, mends: Sequence[Mend]) -> Mend:
    """A mend that was found on the mended sound, as it is meant on the recording."""
    if not isinstance(mend, Trim):
        return mend
    start, _ = kept_samples(recording, mends)
    return Trim(mend.start + start, mend.stop + start)


def fitted(mends: Sequence[Mend], recording: Audio) -> tuple[Mend, ...]:
    """All of them, each as `checked` has it. Raises as it does, and BadSetting for too many."""
    if len(mends) > MOST_MENDS:
        raise BadSetting(f"At most {MOST_MENDS} mends are applied to a recording. Undo some first.")
    return tuple(checked(mend, recording) for mend in mends)


def checked(mend: Mend, recording: Audio) -> Mend:
    """A mend that fits the recording: a trim within it.

    Raises:
        BadAudio: less than a second would be left.
        BadSetting: a number nobody can mean.
    """
    numbers = [value for value in asdict(mend).values() if isinstance(value, float)]  # no int is too large to compare
    if not all(math.isfinite(number) for number in numbers):
        raise BadSetting("A mend needs finite numbers.")
    if isinstance(mend, Trim):
        kept = replace(mend, start=max(0, mend.start), stop=min(mend.stop, recording.length))
        if kept.stop - kept.start < SHORTEST_KEPT_SECONDS * recording.sample_rate:
            raise BadAudio(f"At least {SHORTEST_KEPT_SECONDS:g} s must be kept. Move the handles further apart.")
        return kept
    if isinstance(mend, FadeTail) and not 0 < mend.seconds <= LONGEST_FADE_SECONDS:
        raise BadSetting(f"A fade lasts more than 0 and at most {LONGEST_FADE_SECONDS:g} s.")
    if isinstance(mend, Gain) and abs(mend.gain_db) > MOST_GAIN_DB:
        raise BadSetting(f"A gain lies between -{MOST_GAIN_DB:g} and {MOST_GAIN_DB:g} dB.")
    return mend


def _fade(audio: Audio, mend: FadeTail) -> Audio:
    count = min(audio.length, round(mend.seconds * audio.sample_rate))
    samples = audio.samples.copy()
    samples[:, audio.length - count :] *= (np.cos(np.linspace(0, np.pi / 2, count)) ** 2).astype(np.float32)
    return Audio(samples, audio.sample_rate)


def _centre(audio: Audio, mend: RemoveDc) -> Audio:
    mean = audio.samples.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    return Audio(audio.samples - mean, audio.sample_rate)


def _mix(audio: Audio, mend: ToMono) -> Audio:
    if audio.channels == 1:
        return audio
    channel = {"left": 0, "right": 1}.get(mend.take)
    return audio.mono() if channel is None else Audio(audio.samples[channel : channel + 1], audio.sample_rate)


_APPLY: dict[type[Mend], Callable[[Audio, Any], Audio]] = {
    Trim: lambda audio, mend: audio,  # has been cut already
    FadeTail: _fade,
    Gain: lambda audio, mend: Audio(audio.samples * np.float32(10 ** (mend.gain_db / 20)), audio.sample_rate),
    RemoveDc: _centre,
    ToMono: _mix,
}


def in_words(mend: Mend, sample_rate: int) -> str:
    """What was done, for the list that can be undone."""
    if isinstance(mend, Trim):
        return f"Trimmed to {mend.start / sample_rate:.2f} to {mend.stop / sample_rate:.2f} s"
    if isinstance(mend, FadeTail):
        return f"Faded out over the last {mend.seconds * 1000:.0f} ms"
    if isinstance(mend, Gain):
        return f"{'Raised' if mend.gain_db >= 0 else 'Lowered'} by {abs(mend.gain_db):.1f} dB"
    if isinstance(mend, RemoveDc):
        return "DC offset removed"
    return "Mixed to mono" if mend.take == "both" else f"Mono from the {mend.take} channel"


def as_json(mends: Sequence[Mend]) -> list[dict[str, Any]]:
    """The list as files hold it: `{"mend": "trim", "start": 0, "stop": 48000}` and so on."""
    names = {kind: name for name, kind in KINDS.items()}
    return [{"mend": names[type(mend)], **asdict(mend)} for mend in mends]


def read_mends(data: Any) -> tuple[Mend, ...]:
    """Read such a list.

    Raises:
        BadSetting: an entry is no mend, or there are too many.
    """
    if not isinstance(data, list) or len(data) > MOST_MENDS:
        raise BadSetting(f"Mends are a list of at most {MOST_MENDS}. Undo some.")
    return tuple(_read(item) for item in data)


def _read(item: Any) -> Mend:
    problem = BadSetting("This mend is not known. There are trim, fade, gain, dc and mono.")
    kind = KINDS.get(item.get("mend", "")) if isinstance(item, dict) and isinstance(item.get("mend"), str) else None
    if kind is None:
        raise problem
    values = {name: value for name, value in item.items() if name != "mend"}
    wanted: dict[str, tuple[type, ...]] = {
        "start": (int,),
        "stop": (int,),
        "seconds": (int, float),
        "gain_db": (int, float),
    }
    for name, value in values.items():
        known = value in ("both", "left", "right") if name == "take" else isinstance(value, wanted.get(name, ()))
        if not known or isinstance(value, bool):
            raise problem
    try:
        return kind(**values)
    except TypeError:
        raise problem from None
