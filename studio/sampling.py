"""How the model draws codes: every default and range, written once.

The sliders, the engine, the command line, the API and the preset loader all read this file.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, cast

from studio.errors import BadSetting

HIGHEST_SEED = 2**32 - 1  # stays exact in a browser's numbers


@dataclass(frozen=True)
class Setting:
    """One dial: its default, its range and the words a person reads beside it."""

    name: str
    label: str
    help: str
    default: float
    low: float
    high: float
    step: float

    @property
    def whole(self) -> bool:
        """Whether only whole numbers make sense."""
        return isinstance(self.default, int)

    def check(self, value: Any) -> float:
        """Return `value` as the dial's own number type.

        Raises:
            BadSetting: it is no number, or out of range.
        """
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:  # NaN is between no two numbers
            raise BadSetting(
                f"{self.label} ({self.name}) must be between {self.low:g} and {self.high:g}, not {value!r}."
            )
        if self.whole and value != int(value):
            raise BadSetting(f"{self.label} ({self.name}) must be a whole number, not {value!r}.")
        return int(value) if self.whole else float(value)


def _dial(default: float, low: float, high: float, step: float, label: str, help: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "step": step, "label": label, "help": help})


@dataclass(frozen=True)
class Sampling:
    """Settings of one generation. Values are checked when it is made.

    RAS, repetition-aware sampling, draws a code again from the untempered distribution when it
    stands too often among the last few frames (Chen et al. 2024, "VALL-E 2", arXiv 2406.05370).

    Raises:
        BadSetting: a value is out of the range of its dial.
    """

    temperature: float = _dial(
        0.5,
        0.0,
        2.0,
        0.05,
        "Temperature",
        "How freely codes are drawn; 0 takes the likeliest (repeats are still redrawn unless the RAS window is 0).",
    )
    top_k: int = _dial(30, 0, 1026, 1, "Top-k", "Draw among this many likeliest codes; 0 draws among all.")
    top_p: float = _dial(
        0.95, 0.05, 1.0, 0.05, "Top-p", "Draw among the likeliest codes that hold this share of the probability."
    )
    ras_window: int = _dial(
        7, 0, 64, 1, "RAS window (frames)", "Look this many frames back for repeated codes; 0 turns it off."
    )
    ras_max_repeats: int = _dial(
        2, 1, 16, 1, "RAS repeats allowed", "A code seen this often in the window is drawn again."
    )
    max_seconds: float = _dial(
        0.0, 0.0, 60.0, 0.5, "Longest line (seconds)", "Stop a line here; 0 allows what its text should need."
    )
    seed: int = _dial(0, 0, HIGHEST_SEED, 1, "Seed", "The same seed gives the same speech.")

    def __post_init__(self) -> None:
        for dial in self.dials():
            object.__setattr__(self, dial.name, dial.check(getattr(self, dial.name)))

    @classmethod
    def dials(cls) -> Iterator[Setting]:
        """Every setting with its label, help, default and range, in the order of the page."""
        for item in fields(cls):
            yield Setting(name=item.name, default=cast(float, item.default), **item.metadata)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the settings") -> Self:
        """Read settings by name; what is absent keeps its default.

        Raises:
            BadSetting: a name does not exist (the message lists those that do) or a value is out of range.
        """
        if not isinstance(values, Mapping):
            raise BadSetting(f"{source}: there must be an object, not {type(values).__name__}.")
        known = [dial.name for dial in cls.dials()]
        for name in values:
            if name not in known:
                raise BadSetting(f"{source}: there is no sampling setting {name!r}. There are: {', '.join(known)}.")
        try:
            return cls(**values)
        except BadSetting as problem:
            raise BadSetting(f"{source}: {problem}") from None

    def with_seed(self, seed: int) -> Self:
        """The same settings with another seed."""
        return replace(self, seed=seed)

    def for_line(self, index: int) -> Self:
        """The same settings with the seed of line `index`, so that lines of equal text differ.

        SplitMix64's finaliser (Steele, Lea and Flood 2014) spreads neighbouring numbers apart.
        """
        word = (self.seed + (index + 1) * 0x9E3779B97F4A7C15) % 2**64
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
        return self.with_seed((word ^ (word >> 31)) % (HIGHEST_SEED + 1))

    def for_take(self, index: int) -> Self:
        """The settings of a line's take `index`, from those of the line: take 0 has the line's own seed."""
        return self.for_line(index) if index else self


def fresh_seed() -> int:
    """A seed nobody chose."""
    return secrets.randbelow(HIGHEST_SEED + 1)
