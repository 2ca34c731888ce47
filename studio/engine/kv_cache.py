"""KV cache: the keys and values of every row, in one preallocated block that grows by doubling."""

import math
import mmap
from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional

SHORTEST = 512  # positions; then 1024, 2048, 4096 and so on


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

    On the CPU they come from the system by the page, so memory that is never written is never taken.
    """
    if device.type == "cpu":
        size = math.prod(shape) * dtype.itemsize
        return torch.frombuffer(mmap.mmap(-1, size), dtype=dtype).view(shape)
    return torch.zeros(shape, dtype=dtype, device=device)


class OwnLengths:
    """Places for a step on the CPU: each row attends over exactly its own positions.

    That takes more calls than one masked call for all, and buys that the shape of the computation,
    so its bits, do not depend on the other rows. Only neighbours of one length, as takes of one
    line are, share a call, and only on one thread: there the bits stay what they are alone, on
    several they do not (tests/test_decoder.py tries both).
    """

    def __init__(self, cache: KvCache, cos: torch.Tensor, sin: torch.Tensor, positions: Sequence[int]) -> None:
        index = torch.tensor(positions)
        self.cos, self.sin = cos[index], sin[index]
        block, heads = cache.block, cache.key_heads
        self._key_heads = heads
        groups = list(_neighbours(positions, alone=torch.get_num_threads() > 1))
        self._sizes = [last - first for first, last in groups]
        # Views for all layers at once: slicing a layer at a time would cost more than attending.
        rows = [block[:, first:last] for first, last in groups]  # [layers, rows, 2 * key heads, capacity, D]
        ends = [positions[first] for first, _ in groups]
        self._slots = _by_layer([row[:, :, :, end] for row, end in zip(rows, ends, strict=True)])
        self._keys = _by_layer([row[:, :, :heads, : end + 1] for row, end in zip(rows, ends, strict=True)])
        self._values = _by_layer([row[:, :, heads:, : end + 1] for row, end in zip(rows, ends, strict=True)])

    def attend(self, layer: int, heads: torch.Tensor) -> torch.Tensor:
        """See `Places.attend`."""
        rows, count, head_dim = heads.shape
        query_heads = count - 2 * self._key_heads
        queries, fresh = heads.split((query_heads, 2 * self._key_heads), 1)
        for slots, keys_values in zip(self._slots[layer], fresh.split(self._sizes), strict=True):
            slots.copy_(keys_values)
        # The queries that share a key head stand as its query positions: no repeated keys.
        grouped = queries.view(rows, self._key_heads, -1, head_dim).split(self._sizes)
        attended = [
            functional.scaled_dot_product_attention(query, keys, values)
            for query, keys, values in zip(grouped, self._keys[layer], self._values[layer], strict=True)
        ]
        return (attended[0] if len(attended) == 1 else torch.cat(attended)).reshape(rows, -1)


def _neighbours(positions: Sequence[int], alone: bool) -> Iterator[tuple[int, int]]:
    """First and last (excluded) of each run of equal positions; with `alone`, of each row."""
    first = 0
    for row in range(1, len(positions) + 1):
        if alone or row == len(positions) or positions[row] != positions[first]:
            yield first, row
            first = row


def _by_layer(views: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, ...]]:
    """One [layers, ...] view a group -> for each layer, one view a group."""
    return list(zip(*[view.unbind() for view in views], strict=True))


class SharedSpan:
    """Places for a step whose shape does not change: all rows attend over one span, under a mask."""

    def __init__(
        self, cache: KvCache, cos: torch.Tensor, sin: torch.Tensor, positions: torch.Tensor, span: int
    ) -> None:
        self.cos, self.sin = cos[positions], sin[positions]
        self._block = cache.block
        self._key_heads = cache.key_heads
        self._span = span
        self._rows = torch.arange(len(positions), device=positions.device)
        self._positions = positions
        beyond = torch.arange(span, device=positions.device) > positions.unsqueeze(1)
        # As numbers to add: attention would turn a mask of booleans into them anew in every layer.
        mask = torch.zeros(beyond.shape, dtype=cache.block.dtype, device=positions.device)
        self._mask = mask.masked_fill_(beyond, -torch.inf).view(len(positions), 1, 1, span)

    def attend(self, layer: int, heads: torch.Tensor) -> torch.Tensor:
        """See `Places.attend`."""
        rows, head_dim = heads.shape[0], heads.shape[2]
        query_heads = heads.shape[1] - 2 * self._key_heads
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
