"""Mixing: how loud each speaker is, how takes join, and how loud the whole is. All off: the takes, bit for bit."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from studio.audio import Audio
from studio.conversation import MAX_SPEAKERS
from studio.errors import BadSetting
from studio.lab.metrics import loudness_lufs
from studio.strict_json import keys

LOWEST_GAIN_DB, HIGHEST_GAIN_DB = -24.0, 12.0
QUIETEST_LUFS, LOUDEST_LUFS = -36.0, -10.0
LONGEST_JOIN_SECONDS = 0.2
MOST_ROUNDS, NEAR_ENOUGH_LU = 5, 0.01
PEAK_DBFS = -1.0  # a loudness that would exceed it is not reached, and the page says so


@dataclass(frozen=True)
class Mixing:
    """The dials of the mix.

    Raises:
        BadSetting: one is out of its range.
    """

    gains_db: tuple[float, ...] = ()  # by speaker; those without one stay as they are
    loudness_lufs: float | None = None  # of the whole, integrated (ITU-R BS.1770-4); None: as it comes
    join_seconds: float = 0.0  # each take fades in and out over this; where takes overlap, they cross-fade

    def __post_init__(self) -> None:
        for gain in self.gains_db:
            _check("A speaker's gain", gain, LOWEST_GAIN_DB, HIGHEST_GAIN_DB, "dB")
        if self.loudness_lufs is not None:
            _check("The loudness", self.loudness_lufs, QUIETEST_LUFS, LOUDEST_LUFS, "LUFS")
        _check("The fade at joins", self.join_seconds, 0.0, LONGEST_JOIN_SECONDS, "s")

    def gain_db(self, speaker: int) -> float:
        """The gain of one speaker."""
        return self.gains_db[speaker] if speaker < len(self.gains_db) else 0.0

    def joined(self, audio: Audio) -> Audio:
        """A take with its fades (a quarter of a sine's power curve, so that a cross-fade keeps the power)."""
        length = min(round(self.join_seconds * audio.sample_rate), audio.length // 2)
        if not length:
            return audio
        rise = np.sin(np.linspace(0, np.pi / 2, length, dtype=np.float32))
        samples = audio.samples.copy()
        samples[:, :length] *= rise
        samples[:, -length:] *= rise[::-1]
        return Audio(samples, audio.sample_rate)

    def level_db(self, mix: Audio) -> float:
        """The gain that brings a whole to the wanted loudness, or as near to it as its peaks allow.

        What a gain lifts above the measure's absolute gate lowers its relative one, so that quieter speech begins to
        count: a mix made louder by 10 dB may measure 9.8 LU more. Hence the measure is taken again with the gain.
        """
        if self.loudness_lufs is None:
            return 0.0
        gain = 0.0
        for _ in range(MOST_ROUNDS):
            measured = loudness_lufs(louder(mix, gain)).value
            if measured is None:  # too short or too quiet to be measured
                return 0.0
            gain, before = gain + self.loudness_lufs - measured, gain
            gain = min(gain, PEAK_DBFS - 20 * float(np.log10(mix.peak)))
            if abs(gain - before) < NEAR_ENOUGH_LU:
                break
        return gain

    def as_json(self) -> dict[str, Any]:
        """For a project file."""
        return {
            "gains_db": list(self.gains_db),
            "loudness_lufs": self.loudness_lufs,
            "join_seconds": self.join_seconds,
        }

    @classmethod
    def read(cls, data: Any, source: str = "The mixing") -> "Mixing":
        """Read what `as_json` wrote.

        Raises:
            BadSetting: a key does not exist or holds the wrong thing.
        """
        values = keys(data, {"gains_db": list, "loudness_lufs": object, "join_seconds": object}, source)
        if len(values.get("gains_db", [])) > MAX_SPEAKERS:
            raise BadSetting(f"{source}: there are more gains than speakers can take part.")
        try:
            return cls(tuple(values.get("gains_db", ())), values.get("loudness_lufs"), values.get("join_seconds", 0.0))
        except BadSetting as problem:
            raise BadSetting(f"{source}: {problem}") from None


def louder(audio: Audio, gain_db: float) -> Audio:
    """Sound with a gain; without one it is the very same."""
    return audio if gain_db == 0 else Audio(audio.samples * np.float32(10 ** (gain_db / 20)), audio.sample_rate)


def _check(what: str, value: Any, low: float, high: float, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadSetting(f"{what} must be between {low:g} and {high:g} {unit}, not {value!r}.")
