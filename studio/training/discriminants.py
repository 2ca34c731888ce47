"""Linear discriminant analysis (Rao, 1948): what differs between classes beside what varies within each."""

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import scipy.linalg

from studio.durable import write_durably

SHRINKAGE = 0.05  # of what varies within classes, towards the same in every direction


def discriminants(rows: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Directions in which classes differ most; along each, what varies within a class has a deviation of about 1.

    Args:
        rows: `[N, C]`, standardised.
        classes: int `[N]`, counted from 0, none left out.
        count: How many directions.

    Returns:
        `[C, count]`, the one that tells most first.
    """
    members = np.bincount(classes)
    means = np.zeros((len(members), rows.shape[1]))
    np.add.at(means, classes, rows)
    means /= members[:, None]
    own = rows - means[classes]
    within = own.T @ own / (len(rows) - len(members))
    size = len(within)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.eye(size) * np.trace(within) / size
    _, directions = scipy.linalg.eigh(np.cov(means.T), within)
    return directions[:, ::-1][:, :count]


@dataclass(frozen=True, eq=False)
class StandardisedMap:
    """A linear map of what has been brought to mean 0 and deviation 1."""

    mean: np.ndarray  # [C]
    deviation: np.ndarray  # [C]
    projection: np.ndarray  # [C, D]

    def placed(self, rows: np.ndarray) -> np.ndarray:
        """Shape: `[..., C]` to `[..., D]`."""
        return ((rows - self.mean) / self.deviation) @ self.projection

    def save(self, path: Path) -> None:
        """Write it into a file of NumPy's, whole or not at all."""
        written = io.BytesIO()
        np.savez(written, **asdict(self))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, written.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one that was saved.

        Raises:
            FileNotFoundError: there is none.
        """
        with np.load(path, allow_pickle=False) as saved:
            return cls(**saved)
