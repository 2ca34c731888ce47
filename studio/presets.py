"""Presets: conversations to begin with, from `presets/*.json`. A wrong key is named with its file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.draft import NEEDED, Draft
from studio.errors import BadSetting
from studio.sampling import Sampling
from studio.strict_json import keys

FOLDER = Path(__file__).parent.parent / "presets"
TYPES = {"title": str, "about": str, "conversation": dict, "sampling": dict}


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
        values = keys(data, TYPES, path.name, ("title", "conversation"))
        sampling = values.get("sampling", {})
        checked = Sampling.from_dict(sampling, f"{path.name}, sampling")
        return cls(
            values["title"],
            values.get("about", ""),
            Draft.read(values["conversation"], f"{path.name}, conversation", NEEDED),
            checked,
            checked.seed if "seed" in sampling else None,
        )


def _names() -> list[str]:
    return [str(path.relative_to(FOLDER.parent)) for path in sorted(FOLDER.glob("*.json"))]


def load_presets(folder: Path = FOLDER) -> dict[str, Preset]:
    """All presets by file name without ending, in order of their file names."""
    return {path.stem: Preset.read(path) for path in sorted(folder.glob("*.json"))}
