"""KV cache: the keys and values of every row, in one preallocated block that grows by doubling."""

import math
import mmap
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from studio.engine import cpu_kernels

SHORTEST = 512  # positions; then 1024, 2048, 4096 and so on


def rotate(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Rotary embedding of heads, [M, heads, D], in place; `sin` is negative in its first half. Both [M, 1, D]."""
    swapped = heads.roll(heads.shape[-1] // 2, -1).mul_(sin)
    torch.addcmul(swapped, heads, cos, out=heads)


def bucket(length: int) -> int:
    """The smallest bucket that holds `length` positions."""
    return max(SHORTEST, 1 << (length - 1).bit_length())


class KvCache:
    """Keys and values. `block`: [layers, rows, 2 * key heads, capacity, D], keys before values."""

    def __init__(self, shape: tuple[int, int, int, int, int], dtype: torch.dtype, device: torch.device) -> None:
        """Allocate.

        Args:
            shape: of the block; more capacity is made as it is needed.
        """
        self.key_heads = shape[2] // 2
        self.block = _blank(shape, dtype, device)

    @cached_property
    def array(self) -> np.ndarray:
        """The block for NumPy, sharing memory; on a CPU only."""
        return self.block.numpy()

    @property
    def capacity(self) -> int:
        """How many positions a row holds."""
        return self.block.shape[3]

    def reserve(self, length: int) -> bool:
        """Make room for `length` positions. Returns whether the block has moved."""
        if length <= self.capacity:
            return False
        layers, rows, heads, capacity, head_dim = self.block.shape
        larger = _blank((layers, rows, heads, bucket(length), head_dim), self.block.dtype, self.block.device)
        larger[:, :, :, :capacity] = self.block
        self.block = larger
        self.__dict__.pop("array", None)
        return True

    def store(self, layer: int, row: int, positions: torch.Tensor, keys_values: torch.Tensor) -> None:
        """Write keys and values, [P, 2 * key heads, D], at `positions` of one row."""
        self.block[layer, row].index_copy_(1, positions, keys_values.transpose(0, 1))

    def prefix(self, layer: int, row: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first `length` keys and values of one row. Shapes: [1, key heads, length, D]."""
        stored = self.block[layer, row : row + 1, :, :length]
        return stored[:, : self.key_heads], stored[:, self.key_heads :]

    def read(self, row: int, start: int, stop: int) -> torch.Tensor:
        """A copy of some positions of one row: [layers, 2 * key heads, stop - start, D]."""
        return self.block[:, row, :, start:stop].clone()

    def write(self, row: int, start: int, block: torch.Tensor) -> None:
        """Put back what `read` gave."""
        self.block[:, row, :, start : start + block.shape[2]] = block

    def copy_row(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one row over another."""
        self.block[:, target, :, :length] = self.block[:, source, :, :length]


def _blank(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros, since what a mask hides is still multiplied, and 0 * NaN is NaN.

    On the CPU they come from the system by the page, so memory that is never written is never taken. Pages of
    2 MB, where the system has them, are read up to twice as fast: a frame reads many megabytes once each.
    """
    if device.type == "cpu":
        pages = mmap.mmap(-1, math.prod(shape) * dtype.itemsize)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without them
                pages.madvise(mmap.MADV_HUGEPAGE)
        return torch.frombuffer(pages, dtype=dtype).view(shape)
    return torch.zeros(shape, dtype=dtype, device=device)


class OwnLengths:
    """Places for a step on the CPU: each row attends over exactly its own positions, so its bits are its own."""

    def __init__(
        self, cache: KvCache, cos: torch.Tensor, sin: torch.Tensor, positions: Sequence[int], first_row: int = 0
    ) -> None:
        """Row `first_row` of the cache stands at the first of `positions`, the next row at the next."""
        self.block = cache.array
        self.where = (first_row, np.array(positions), cos.numpy(), sin.numpy())  # as `cpu_kernels.attend` takes them

    def attend(self, layer: int, heads: torch.Tensor) -> torch.Tensor:
        """See `Places.attend`."""
        return cpu_kernels.attend(heads, self.block[layer], *self.where)


class SharedSpan:
    """Places for a step whose shape does not change: all rows attend over one span, under a mask."""

    def __init__(
        self, cache: KvCache, cos: torch.Tensor, sin: torch.Tensor, positions: torch.Tensor, span: int
    ) -> None:
        self._tables = cos, sin
        self._block = cache.block
        self._key_heads = cache.key_heads
        self._span = span
        self._positions = positions

    @cached_property
    def _turns(self) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = self._tables
        return cos[self._positions], sin[self._positions]

    @cached_property
    def _rows(self) -> torch.Tensor:
        return torch.arange(len(self._positions), device=self._positions.device)

    @cached_property
    def _mask(self) -> torch.Tensor:
        positions, span = self._positions, self._span
        beyond = torch.arange(span, device=positions.device) > positions.unsqueeze(1)
        # As numbers to add: attention would turn a mask of booleans into them anew in every layer.
        mask = torch.zeros(beyond.shape, dtype=self._block.dtype, device=positions.device)
        return mask.masked_fill_(beyond, -torch.inf).view(len(positions), 1, 1, span)

    def attend(self, layer: int, heads: torch.Tensor) -> torch.Tensor:
        """See `Places.attend`."""
        rows, head_dim = heads.shape[0], heads.shape[2]
        query_heads = heads.shape[1] - 2 * self._key_heads
        rotate(heads[:, : query_heads + self._key_heads], *self._turns)
        block = self._block[layer]
        block[self._rows, :, self._positions] = heads[:, query_heads:]
        # The queries that share a key head stand as its query positions: no repeated keys.
        queries = heads[:, :query_heads].reshape(rows, self._key_heads, -1, head_dim)
        stored = block[:rows, :, : self._span]
        mask = self._mask.expand(-1, self._key_heads, queries.shape[2], -1)
        attended = functional.scaled_dot_product_attention(
            queries, stored[:, : self._key_heads], stored[:, self._key_heads :], attn_mask=mask
        )
        return attended.reshape(rows, -1)

    def attend_fused(self, layer: int, heads: torch.Tensor) -> torch.Tensor:
        """The same in two launches: see `gpu_kernels.attend`."""
        from studio.engine import gpu_kernels  # needs Triton, which comes with torch for CUDA only

        return gpu_kernels.attend(heads, self._block[layer], self._positions, *self._tables, self._span)
