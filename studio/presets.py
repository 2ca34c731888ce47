"""Presets: conversations to begin with, from `presets/*.json`. A wrong key is named with its file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.draft import Draft
from studio.errors import BadSetting
from studio.sampling import Sampling

FOLDER = Path(__file__).parent.parent / "presets"


@dataclass(frozen=True)
class Preset:
    """A draft with a title, a sentence about it, and the sampling it sounds well with."""

    title: str
    about: str
    draft: Draft
    sampling: Sampling
    seed: int | None  # only where the preset is about this very seed; else each generation draws its own

    @classmethod
    def read(cls, path: Path) -> "Preset":
        """Read one preset file.

        Raises:
            BadSetting: it cannot be read, or a key is wrong; the message names the file.
        """
        try:
            data: Any = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise BadSetting(f"There is no preset file {path}. There are: {', '.join(_names())}.") from None
        except (OSError, ValueError, RecursionError) as problem:
            raise BadSetting(f"{path.name}: this is not JSON that can be read ({problem}).") from None
        keys = ("title", "about", "conversation", "sampling")
        if not isinstance(data, dict) or not isinstance(data.get("title"), str):
            raise BadSetting(f"{path.name}: there must be an object with {', '.join(keys)}.")
        for key in data:
            if key not in keys:
                raise BadSetting(f"{path.name}: there is no key {key!r}. There are: {', '.join(keys)}.")
        sampling = data.get("sampling", {})
        checked = Sampling.from_dict(sampling, f"{path.name}, sampling")
        return cls(
            data["title"],
            str(data.get("about", "")),
            Draft.read(data.get("conversation"), f"{path.name}, conversation"),
            checked,
            checked.seed if "seed" in sampling else None,
        )


def _names() -> list[str]:
    return [str(path.relative_to(FOLDER.parent)) for path in sorted(FOLDER.glob("*.json"))]


def load_presets(folder: Path = FOLDER) -> dict[str, Preset]:
    """All presets by file name without ending, in order of their file names."""
    return {path.stem: Preset.read(path) for path in sorted(folder.glob("*.json"))}
