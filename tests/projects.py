"""Projects for tests: takes of known sound, no engine."""

import numpy as np

from studio.audio import Audio
from studio.codes import Codes
from studio.draft import Draft
from studio.health import CodeHealth
from studio.project import Project
from studio.sampling import Sampling
from studio.takes import Stop, Take

RATE, FRAME_RATE, HOP = 24_000, 25.0, 960
HEALTHY = CodeHealth(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.9)
CAST = [{"name": "Alma", "kind": "reference", "reference": "bundled:alma"}, {"name": "Bruno"}, {"name": "Clara"}]


def a_take(frames: int, seed: int = 0, level: float = 0.1) -> Take:
    """A take of noise that its seed gives, with codes of the same seed."""
    drawn = np.random.default_rng(seed)
    codes = Codes(drawn.integers(0, 1024, (8, frames)), FRAME_RATE, 1024)
    audio = Audio(level * drawn.standard_normal((1, frames * HOP)).clip(-3, 3), RATE)
    return Take(codes, audio, Sampling(seed=seed), "mini", Stop.ENDED, 40, HEALTHY, compute_seconds=0.5)


def a_draft(*lines: tuple[int, str] | None) -> Draft:
    """A draft whose rows have the ids r1, r2 …; None is a divider."""
    rows = [
        {"divider": True} if line is None else {"speaker": line[0], "text": line[1], "id": f"r{number}"}
        for number, line in enumerate(lines, 1)
    ]
    return Draft.read({"scene": "A kitchen.", "speakers": CAST, "lines": rows})


def a_project(*frames: int) -> Project:
    """Lines spoken in turns by three speakers, with one take each of so many frames."""
    project = Project(a_draft(*((index % 3, f"Line {index + 1}.") for index in range(len(frames)))))
    (lines,) = project.draft.groups
    for index, (line, length) in enumerate(zip(lines, frames, strict=True)):
        project = project.adding([line], [a_take(length, seed=index)], 0)
    return project
