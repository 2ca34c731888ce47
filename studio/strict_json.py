"""JSON from people and files, read strictly: every key known, every type right, else a sentence naming the place."""

from collections.abc import Mapping, Sequence
from typing import Any

from studio.errors import BadSetting


def keys(data: Any, types: Mapping[str, type], source: str) -> dict[str, Any]:
    """The values of an object whose keys are all known and hold the right type; none of them must be there.

    Raises:
        BadSetting: with `source` and the key.
    """
    if not isinstance(data, dict):
        raise BadSetting(f"{source}: there must be an object with {', '.join(types)}.")
    for key, value in data.items():
        if key not in types:
            raise BadSetting(f"{source}: there is no key {key!r}. There are: {', '.join(types)}.")
        if not isinstance(value, types[key]) or (isinstance(value, bool) and types[key] not in (bool, object)):
            raise BadSetting(f"{source}: {key} must be a {types[key].__name__}, not {type(value).__name__}.")
    return data


def all_keys(data: Any, types: Mapping[str, type], source: str) -> dict[str, Any]:
    """As `keys`, and every key must be there."""
    values = keys(data, types, source)
    missing = [key for key in types if key not in values]
    if missing:
        raise BadSetting(f"{source}: {missing[0]} is missing.")
    return values


def one_of(value: str, allowed: Sequence[str], what: str) -> Any:
    """A word that is one of the allowed ones. Raises `BadSetting`."""
    if value not in allowed:
        raise BadSetting(f"{what} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def whole(value: int, highest: int, what: str, lowest: int = 0) -> int:
    """A whole number within its range. Raises `BadSetting`."""
    if not lowest <= value <= highest:
        raise BadSetting(f"{what} must be between {lowest} and {highest}, not {value}.")
    return value


def number(value: Any, low: float, high: float, what: str) -> float:
    """A finite number within its range, whole or not. Raises `BadSetting`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:  # nor NaN
        raise BadSetting(f"{what} must be between {low:g} and {high:g}, not {value!r}.")
    return float(value)
