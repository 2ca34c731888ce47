"""Codes: what a neural codec makes of sound, as a value; and what a codec is to the rest of the studio."""

import hashlib
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from studio.audio import Audio


@dataclass(frozen=True, eq=False)
class Codes:
    """The code sequence of one piece of audio."""

    values: np.ndarray  # int64 [K, T]: K codebooks, T frames
    frame_rate: float  # Hz
    codebook_size: int

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, dtype=np.int64)
        if values.ndim != 2:
            raise ValueError(f"codes must be [K, T], not {values.shape}")
        if values.size and (values.min() < 0 or values.max() >= self.codebook_size):
            raise ValueError(f"codes must lie in 0..{self.codebook_size - 1}")
        object.__setattr__(self, "values", values)

    @property
    def codebooks(self) -> int:
        """How many codebooks each frame has (K)."""
        return self.values.shape[0]

    @property
    def frames(self) -> int:
        """How many frames there are (T)."""
        return self.values.shape[1]

    @property
    def duration_seconds(self) -> float:
        """Length of the sound these codes stand for."""
        return self.frames / self.frame_rate

    @property
    def bitrate_kbps(self) -> float:
        """Nominal bitrate: every code costs log2(codebook_size) bits."""
        return self.codebooks * math.log2(self.codebook_size) * self.frame_rate / 1000

    @property
    def entropy_bits(self) -> np.ndarray:
        """Empirical entropy of each codebook in bits a frame. Shape: float64 [K]."""
        entropies = np.zeros(self.codebooks)
        for index, row in enumerate(self.values if self.frames else ()):
            shares = np.unique(row, return_counts=True)[1] / self.frames
            entropies[index] = -(shares * np.log2(shares)).sum()
        return entropies

    @property
    def entropy_kbps(self) -> float:
        """Bitrate an ideal memoryless coder would need for this very sequence."""
        return float(self.entropy_bits.sum()) * self.frame_rate / 1000

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the codes: equal exactly when the codes are equal."""
        head = f"{self.values.shape}|{self.frame_rate}|{self.codebook_size}|".encode()
        return hashlib.sha256(head + self.values.tobytes()).hexdigest()

    def first_codebooks(self, count: int) -> "Codes":
        """The same sound told by the first `count` codebooks only: a rung of the bitrate ladder."""
        if not 1 <= count <= self.codebooks:
            raise ValueError(f"count must be 1..{self.codebooks}, not {count}")
        return Codes(self.values[:count], self.frame_rate, self.codebook_size)

    def between(self, start: int, stop: int) -> "Codes":
        """Frames `start` to `stop`, end excluded."""
        return Codes(self.values[:, start:stop], self.frame_rate, self.codebook_size)


class Codec(Protocol):
    """Sound to codes and back."""

    name: str
    sample_rate: int  # Hz
    frame_rate: float  # Hz
    codebooks: int
    codebook_size: int

    def encode(self, audio: Audio) -> Codes:
        """Codes of a recording, all codebooks."""
        ...

    def decode(self, codes: Codes) -> Audio:
        """Sound of codes."""
        ...
