"""JSON from people and files, read strictly: every key known, every type right, else a sentence naming the place."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from studio.errors import BadSetting

WORDS: dict[type, str] = {
    **{str: "text", int: "a whole number", float: "a number", bool: "true or false"},
    **{list: "a list", dict: "an object", type(None): "null"},
}


def keys(data: Any, types: Mapping[str, type], source: str, needed: Sequence[str] = ()) -> dict[str, Any]:
    """The values of an object whose keys are all known and hold the right type.

    Args:
        data: What was read from JSON.
        types: What each key holds; `object` stands for anything.
        source: How a message begins: what the object is, or where it stands.
        needed: The keys that must be there; the others may be left out.

    Raises:
        BadSetting: with `source`, the key, what it holds and what it should hold.
    """
    if not isinstance(data, dict):
        raise BadSetting(f"{source} must be an object, not {_kind(data)}. {_known(types, needed)}")
    for key, value in data.items():
        if key not in types:
            raise BadSetting(f"{source}: there is no key {key!r}.{_meant(key, types)} {_known(types, needed)}")
        if not isinstance(value, types[key]) or (isinstance(value, bool) and types[key] not in (bool, object)):
            raise BadSetting(f"{source}: {key} must be {WORDS[types[key]]}, not {_kind(value)}.")
    missing = [key for key in needed if key not in data]
    if missing:
        raise BadSetting(f"{source}: {missing[0]} is missing. {_known(types, needed)}")
    return data


def all_keys(data: Any, types: Mapping[str, type], source: str) -> dict[str, Any]:
    """As `keys`, and every key must be there."""
    return keys(data, types, source, tuple(types))


def _kind(value: Any) -> str:
    """What a value is, in a person's words; a short one is shown."""
    words = WORDS.get(type(value), type(value).__name__)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"{words} ({value[:40]!r})"
    return f"{words} ({str(value)[:40]})" if isinstance(value, (int, float)) else words


def _meant(key: str, types: Mapping[str, type]) -> str:
    close = get_close_matches(key, types, 1)
    return f" Do you mean {close[0]!r}?" if close else ""


def _known(types: Mapping[str, type], needed: Sequence[str]) -> str:
    """Which keys there are, and which of them may be left out."""
    optional = [key for key in types if key not in needed]
    if not needed:
        return f"Its keys, all optional: {', '.join(types)}."
    if not optional:
        return f"Its keys, all required: {', '.join(types)}."
    return f"Required: {', '.join(needed)}. Optional: {', '.join(optional)}."


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
