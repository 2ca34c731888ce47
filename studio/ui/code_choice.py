"""Which codes can be chosen in the lab, which fit together, and what a mix of them is called."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from studio.codes import Codes
from studio.errors import StudioError
from studio.lab.codemap import StoredCodes, unpacked
from studio.ui.kept_clips import find_clip
from studio.ui.studio import Studio


@dataclass(frozen=True)
class Listed:
    """Codes that can be chosen."""

    id: str  # "token of the clip/number of the version"
    label: str
    clip: str
    codebooks: int
    codebook_size: int
    frame_rate: float  # Hz

    def fits(self, other: "Listed") -> bool:
        """Whether the two can be mixed."""
        return self.id != other.id and kind(self) == kind(other)


def compared_codes(studio: Studio, tokens: Any) -> list[Listed]:
    """Every version with codes of the clips compared last."""
    listed: list[Listed] = []
    for token in tokens or []:
        try:
            view, folder = find_clip(studio.readings, token)
        except StudioError:
            continue  # swept since
        for number, version in enumerate(view["versions"]):
            if version["codes"]:
                stored = unpacked((folder / version["codes"]).read_bytes(), version["codes"])
                label = f"{view['name']}: {version['title']}"
                listed.append(listed_codes(f"{token}/{number}", label, view["name"], stored))
    return listed


def listed_codes(code_id: str, label: str, clip: str, stored: StoredCodes) -> Listed:
    """Codes as they are offered."""
    return Listed(code_id, label, clip, *kind(stored.codes))


def kind(codes: Codes | Listed) -> tuple[int, int, float]:
    """What two sequences that are mixed must share."""
    return codes.codebooks, codes.codebook_size, codes.frame_rate


def named(sources: Sequence[str], silent: Collection[int]) -> str:
    """What was made, by what it is made of: "1 from Bruno, 2–8 from Alma, without 3"."""
    by_source: dict[str, list[int]] = {}
    for index, source in enumerate(sources):
        by_source.setdefault(source, []).append(index + 1)
    parts = [f"{_spans(numbers)} from {source}" for source, numbers in by_source.items()]
    if silent:
        parts.append(f"without {_spans(sorted(index + 1 for index in silent))}")
    return ", ".join(parts)


def _spans(numbers: Sequence[int]) -> str:
    """1, 2, 3 and 5 are "1–3, 5"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}–{high}" for low, high in spans)


def shortened(*clips: tuple[str, Codes]) -> str:
    """What to say of a mix that ends with the shorter clip."""
    (short_name, short), (long_name, long) = sorted(clips, key=lambda one: one[1].frames)
    if short.frames == long.frames:
        return ""
    return (
        f"The mix ends after {short.duration_seconds:.2f} s with the shorter clip ({short_name}); "
        f"{long_name} lasts {long.duration_seconds:.2f} s."
    )
