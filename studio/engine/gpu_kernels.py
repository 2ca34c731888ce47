"""GPU kernels: a frame in six launches a layer, in Triton's language.

A frame of one row reads every weight once, and reading is the time. Around the products stand a dozen small kernels a
layer, each of which costs as much to start as to run, and an attention of one query a head that fills few of the
card's multiprocessors. Here norm, gate and residual are computed by the products that need them, and the positions
of a row are attended to in chunks side by side, of which those beyond the row's end return at once.

Tiles and warps are those that were quickest on an H200: see docs/gpu-runs.md.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

WARPS = 4
CHUNK, MOST_CHUNKS, TILE = 64, 64, 32  # positions of a chunk, chunks of a row, positions looked at together
ATTENDING_WARPS = 2
QUERIES: tl.constexpr = tl.constexpr(16)  # of a key head, with room: a product for tensor cores has no fewer rows
MOST_UNROLLED = 16  # turns of a loop written out


@dataclass(frozen=True)
class Tile:
    """What one program of a product computes at once."""

    outputs: int
    inputs: int
    warps: int
    stages: int = 1  # of a pipeline through shared memory
    ahead: bool = False  # instead, hold the next weights in registers while these are used

    def dividing(self, outputs: int, inputs: int) -> "Tile":
        """As large a tile, no larger than this one, as needs no mask for a product of this size."""
        block_in = min(self.inputs, inputs & -inputs)
        ahead = self.ahead and inputs // block_in <= MOST_UNROLLED
        return Tile(min(self.outputs, outputs & -outputs), block_in, self.warps, self.stages, ahead)


# by bytes of a weight: 8-bit weights, others
PLAIN_TILES = Tile(16, 512, 4, stages=4), Tile(16, 256, 4, stages=4)
GATED_TILES = Tile(8, 512, 4, stages=4), Tile(1, 1024, 2, ahead=True)  # of the gate, and as much of what it gates
ADDED_TILES = Tile(8, 512, 4, stages=4), Tile(2, 1024, 2, ahead=True)


@triton.jit  # type: ignore[untyped-decorator]
def _numbers(weights, WHOLE: tl.constexpr):
    """Weights as float32. Bytes go into the mantissa of 2 ** 23, which is quicker than to convert integers."""
    if WHOLE:
        bits = (weights.to(tl.uint8, bitcast=True) ^ 128).to(tl.uint32) | 0x4B000000
        return bits.to(tl.float32, bitcast=True) - 8388736.0
    return weights.to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def _product_of_one_row(
    x, norm, weight, scales, residual, out, outputs, eps,
    INPUTS: tl.constexpr, NORMED: tl.constexpr, GATED: tl.constexpr, SCALED: tl.constexpr, ADDED: tl.constexpr,
    BLOCK_OUT: tl.constexpr, BLOCK_IN: tl.constexpr, STAGES: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    # No masks: BLOCK_OUT divides the outputs, BLOCK_IN the inputs. Weights come once and need not stay in a cache.
    rows = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    columns = tl.arange(0, BLOCK_IN)
    first = weight + rows.to(tl.int64)[:, None] * INPUTS + columns[None, :]
    second = first + tl.cast(outputs, tl.int64) * INPUTS
    total = tl.zeros((BLOCK_OUT, BLOCK_IN), tl.float32)
    raised = tl.zeros((BLOCK_OUT, BLOCK_IN), tl.float32)
    squares = tl.zeros((BLOCK_IN,), tl.float32)
    if AHEAD:
        some = tl.load(first, eviction_policy="evict_first")
        more = some
        if GATED:
            more = tl.load(second, eviction_policy="evict_first")
        for start in tl.static_range(0, INPUTS, BLOCK_IN):
            these, those = some, more
            if start + BLOCK_IN < INPUTS:
                some = tl.load(first + start + BLOCK_IN, eviction_policy="evict_first")
                if GATED:
                    more = tl.load(second + start + BLOCK_IN, eviction_policy="evict_first")
            values = tl.load(x + start + columns).to(tl.float32)
            if NORMED:
                squares += values * values
                values = values * tl.load(norm + start + columns).to(tl.float32)
            total += _numbers(these, SCALED) * values[None, :]
            if GATED:
                raised += _numbers(those, SCALED) * values[None, :]
    else:
        for start in tl.range(0, INPUTS, BLOCK_IN, num_stages=STAGES):
            some = tl.load(first + start, eviction_policy="evict_first")
            values = tl.load(x + start + columns).to(tl.float32)
            if NORMED:
                squares += values * values
                values = values * tl.load(norm + start + columns).to(tl.float32)
            total += _numbers(some, SCALED) * values[None, :]
            if GATED:
                more = tl.load(second + start, eviction_policy="evict_first")
                raised += _numbers(more, SCALED) * values[None, :]
    result = tl.sum(total, 1)
    factor = 1.0
    if NORMED:
        factor = 1.0 / tl.sqrt(tl.sum(squares, 0) / INPUTS + eps)
        result = result * factor
    if SCALED:
        result = result * tl.load(scales + rows).to(tl.float32)
    if GATED:
        up = tl.sum(raised, 1) * factor
        if SCALED:
            up = up * tl.load(scales + outputs + rows).to(tl.float32)
        result = result / (1.0 + tl.exp(-result)) * up
    if ADDED:
        result += tl.load(residual + rows).to(tl.float32)
    tl.store(out + rows, result.to(out.dtype.element_ty))


@triton.jit  # type: ignore[untyped-decorator]
def _attend_chunk(
    heads, cos, sin, positions, block, sums, highest, totals, row_stride, head_stride, chunk, chunks, scale,
    SHARING: tl.constexpr, KEY_HEADS: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    # All queries of a key head together, so that keys and values are read once.
    row, key_head, number = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    position = tl.load(positions + row).to(tl.int32)
    first = number * chunk
    query_heads: tl.constexpr = SHARING * KEY_HEADS
    d, queries = tl.arange(0, WIDTH), tl.arange(0, QUERIES)
    results = (row * query_heads + key_head * SHARING + queries) * chunks + number
    real = queries < SHARING
    if first > position:
        tl.store(highest + results, tl.full((QUERIES,), -float("inf"), tl.float32), mask=real)
        tl.store(totals + results, tl.zeros((QUERIES,), tl.float32), mask=real)
        return
    swapped = (d + WIDTH // 2) % WIDTH
    own = heads + row * (query_heads + 2 * KEY_HEADS) * WIDTH
    stored = block + row.to(tl.int64) * row_stride + key_head.to(tl.int64) * head_stride
    stored_values = stored + tl.cast(head_stride, tl.int64) * KEY_HEADS
    c = tl.load(cos + position * WIDTH + d).to(tl.float32)
    s = tl.load(sin + position * WIDTH + d).to(tl.float32)
    query = own + (key_head * SHARING + queries)[:, None] * WIDTH
    q = tl.load(query + d[None, :], mask=real[:, None], other=0).to(tl.float32) * c[None, :]
    q += tl.load(query + swapped[None, :], mask=real[:, None], other=0).to(tl.float32) * s[None, :]
    q = q.to(block.dtype.element_ty)
    most = tl.full((QUERIES,), -float("inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    mixed = tl.zeros((QUERIES, WIDTH), tl.float32)
    stop = tl.minimum(first + chunk, position)
    for start in range(first, stop, TILE):
        places = start + tl.arange(0, TILE)
        there = places < stop
        offsets = places[:, None] * WIDTH + d[None, :]
        keys = tl.load(stored + offsets, mask=there[:, None], other=0)
        values = tl.load(stored_values + offsets, mask=there[:, None], other=0)
        scores = tl.dot(q, tl.trans(keys), input_precision="ieee") * scale
        scores = tl.where(there[None, :], scores, -float("inf"))
        now = tl.maximum(most, tl.max(scores, 1))
        faded, shares = tl.exp(most - now), tl.exp(scores - now[:, None])
        total = total * faded + tl.sum(shares, 1)
        mixed = tl.dot(shares.to(keys.dtype), values, mixed * faded[:, None], input_precision="ieee")
        most = now
    if position < first + chunk:  # what is new goes into the cache by one program, which need not read it again
        key = own + (query_heads + key_head) * WIDTH
        new_key = tl.load(key + d).to(tl.float32) * c + tl.load(key + swapped).to(tl.float32) * s
        new_key = new_key.to(block.dtype.element_ty)
        new_value = tl.load(key + KEY_HEADS * WIDTH + d)
        tl.store(stored + position * WIDTH + d, new_key)
        tl.store(stored_values + position * WIDTH + d, new_value)
        score = tl.sum(q.to(tl.float32) * new_key.to(tl.float32)[None, :], 1) * scale
        now = tl.maximum(most, score)
        faded, share = tl.exp(most - now), tl.exp(score - now)
        total = total * faded + share
        mixed = mixed * faded[:, None] + share[:, None] * new_value.to(tl.float32)[None, :]
        most = now
    tl.store(highest + results, most, mask=real)
    tl.store(totals + results, total, mask=real)
    tl.store(sums + results[:, None] * WIDTH + d[None, :], mixed, mask=real[:, None])


@triton.jit  # type: ignore[untyped-decorator]
def _join_chunks(sums, highest, totals, out, CHUNKS: tl.constexpr, WIDTH: tl.constexpr):
    head = tl.program_id(0)
    d, places = tl.arange(0, WIDTH), head * CHUNKS + tl.arange(0, CHUNKS)
    most = tl.load(highest + places)
    shares = tl.exp(most - tl.max(most, 0))
    total = tl.sum(tl.load(totals + places) * shares, 0)
    used = shares > 0
    mixed = tl.load(sums + places[:, None] * WIDTH + d[None, :], mask=used[:, None], other=0)
    mixed = tl.sum(mixed * shares[:, None], 0) / total
    tl.store(out + head * WIDTH + d, mixed.to(out.dtype.element_ty))


@triton.jit  # type: ignore[untyped-decorator]
def _sum_embeddings(codes, offsets, embeddings, out, WIDTH: tl.constexpr, CODEBOOKS: tl.constexpr, BLOCK: tl.constexpr):
    row, columns = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    within = columns < WIDTH
    total = tl.zeros((BLOCK,), tl.float32)
    for k in tl.static_range(CODEBOOKS):
        place = tl.load(codes + row * CODEBOOKS + k) + tl.load(offsets + k)
        total += tl.load(embeddings + place * WIDTH + columns, mask=within, other=0).to(tl.float32)
    tl.store(out + row * WIDTH + columns, total.to(out.dtype.element_ty), mask=within)


@triton.jit  # type: ignore[untyped-decorator]
def _add_and_norm(hidden, added, norm, total, out, eps, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    columns = tl.arange(0, BLOCK)
    within = columns < WIDTH
    places = tl.program_id(0) * WIDTH + columns
    values = tl.load(hidden + places, mask=within, other=0).to(tl.float32)
    values += tl.load(added + places, mask=within, other=0).to(tl.float32)
    kept = values.to(total.dtype.element_ty)
    tl.store(total + places, kept, mask=within)
    values = kept.to(tl.float32)
    factor = 1.0 / tl.sqrt(tl.sum(values * values, 0) / WIDTH + eps)
    values = values * factor * tl.load(norm + columns, mask=within, other=0).to(tl.float32)
    tl.store(out + places, values.to(out.dtype.element_ty), mask=within)


@triton.jit  # type: ignore[untyped-decorator]
def _gate(gate_up, out, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    within = columns < width
    gate = tl.load(gate_up + row * 2 * width + columns, mask=within, other=0).to(tl.float32)
    up = tl.load(gate_up + row * 2 * width + width + columns, mask=within, other=0).to(tl.float32)
    result = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(out + row * width + columns, result.to(out.dtype.element_ty), mask=within)


def product_of_one_row(
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor | None = None,
    *,
    norm: tuple[torch.Tensor, float] | None = None,
    gated: bool = False,
    residual: torch.Tensor | None = None,
) -> torch.Tensor:
    """One row, [1, in], times weights [out, in], in one launch.

    Args:
        scales: of each output of 8-bit weights.
        norm: weight and epsilon of a root mean square norm that comes before the product.
        gated: the product's halves are a gate and what it gates: silu(first) * second.
        residual: what the product is added to, [1, out].
    """
    outputs, inputs = len(weight) // 2 if gated else len(weight), weight.shape[1]
    out = torch.empty(1, outputs, dtype=x.dtype, device=x.device)
    tiles = GATED_TILES if gated else PLAIN_TILES if residual is None else ADDED_TILES
    tile = tiles[0 if weight.dtype == torch.int8 else 1].dividing(outputs, inputs)
    _product_of_one_row[(outputs // tile.outputs,)](
        x, norm[0] if norm else x, weight, x if scales is None else scales, x if residual is None else residual, out,
        outputs, norm[1] if norm else 0.0,
        INPUTS=inputs, NORMED=norm is not None, GATED=gated, SCALED=scales is not None, ADDED=residual is not None,
        BLOCK_OUT=tile.outputs, BLOCK_IN=tile.inputs, STAGES=tile.stages, AHEAD=tile.ahead, num_warps=tile.warps,
    )  # fmt: skip
    return out


def summed_embeddings(
    codes: torch.Tensor, offsets: torch.Tensor, embeddings: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Of each row the sum of its codes' embeddings: int64 [S, K] -> [S, H].

    Args:
        offsets: int64 [K]: where each codebook's embeddings begin.
        embeddings: [codes of all codebooks, H].
    """
    rows, width = len(codes), embeddings.shape[1]
    out = torch.empty(rows, width, dtype=dtype, device=codes.device)
    _sum_embeddings[(rows, triton.cdiv(width, 512))](
        codes, offsets, embeddings, out, WIDTH=width, CODEBOOKS=codes.shape[1], BLOCK=512, num_warps=WARPS
    )
    return out


def added_and_normed(
    hidden: torch.Tensor, added: torch.Tensor, norm: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of two, [M, H], and its root mean square norm."""
    total, out = torch.empty_like(hidden), torch.empty_like(hidden)
    rows, width = hidden.shape
    _add_and_norm[(rows,)](
        hidden, added, norm, total, out, eps, WIDTH=width, BLOCK=triton.next_power_of_2(width), num_warps=2 * WARPS
    )
    return total, out


def gated(gate_up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up. Shape: [M, 2 * I] -> [M, I]."""
    rows, width = len(gate_up), gate_up.shape[1] // 2
    out = torch.empty(rows, width, dtype=gate_up.dtype, device=gate_up.device)
    _gate[(rows, triton.cdiv(width, 1024))](gate_up, out, width, BLOCK=1024, num_warps=WARPS)
    return out


def attend(
    heads: torch.Tensor, block: torch.Tensor, positions: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, span: int
) -> torch.Tensor:
    """Rotate, store the keys and values of this step, and attend over each row's own positions.

    Args:
        heads: [S, query heads + 2 * key heads, D]: queries, keys, values.
        block: the layer's cache, [slots, 2 * key heads, capacity, D].
        positions: int64 [S]: where each row's new position is, below `span`.
        cos: [capacity, 1, D].
        sin: [capacity, 1, D], negative in its first half.
        span: a power of two.

    Returns:
        [S, query heads * D]
    """
    rows, count, width = heads.shape
    key_heads = block.shape[1] // 2
    query_heads = count - 2 * key_heads
    chunks = min(MOST_CHUNKS, max(1, span // CHUNK))
    numbers: dict[str, Any] = {"dtype": torch.float32, "device": heads.device}
    sums = torch.empty(rows, query_heads, chunks, width, **numbers)
    highest, totals = torch.empty(2, rows, query_heads, chunks, **numbers)
    _attend_chunk[(rows, key_heads, chunks)](
        heads, cos, sin, positions, block, sums, highest, totals, block.stride(0), block.stride(1),
        span // chunks, chunks, width**-0.5,
        SHARING=query_heads // key_heads, KEY_HEADS=key_heads, WIDTH=width, TILE=TILE, num_warps=ATTENDING_WARPS,
    )  # fmt: skip
    out = torch.empty(rows, query_heads * width, dtype=heads.dtype, device=heads.device)
    _join_chunks[(rows * query_heads,)](sums, highest, totals, out, CHUNKS=chunks, WIDTH=width, num_warps=WARPS)
    return out
