"""GPU kernels: a frame in six launches a layer, in Triton's language.

A frame of one row reads every weight once, and reading is the time. Around the products stand a dozen small kernels a
layer, each of which costs as much to start as to run, and an attention of one query a head that fills few of the
card's multiprocessors. Here norm, gate and residual are computed by the products that need them, and the positions
of a row are attended to in chunks side by side, of which those beyond the row's end return at once.
"""

from typing import Any

import torch
import triton
import triton.language as tl

BLOCK_OUT, BLOCK_IN, WARPS = 4, 1024, 4  # of a product's tile: some 8 KB on their way in every program
CHUNK, MOST_CHUNKS, TILE = 64, 64, 32  # positions of a chunk, chunks of a row, positions looked at together


@triton.jit  # type: ignore[untyped-decorator]
def _product_of_one_row(
    x, norm, weight, scales, residual, out, outputs, eps,
    INPUTS: tl.constexpr, NORMED: tl.constexpr, GATED: tl.constexpr, SCALED: tl.constexpr, ADDED: tl.constexpr,
    BLOCK_OUT: tl.constexpr, BLOCK_IN: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    inside = rows < outputs
    starts = rows.to(tl.int64)[:, None] * INPUTS
    total = tl.zeros((BLOCK_OUT, BLOCK_IN), tl.float32)
    raised = tl.zeros((BLOCK_OUT, BLOCK_IN), tl.float32)
    squares = tl.zeros((BLOCK_IN,), tl.float32)
    for start in range(0, INPUTS, BLOCK_IN):
        columns = start + tl.arange(0, BLOCK_IN)
        within = columns < INPUTS
        taken = inside[:, None] & within[None, :]
        some = tl.load(weight + starts + columns[None, :], mask=taken, other=0).to(tl.float32)
        values = tl.load(x + columns, mask=within, other=0).to(tl.float32)
        if NORMED:
            squares += values * values
            values = values * tl.load(norm + columns, mask=within, other=0).to(tl.float32)
        total += some * values[None, :]
        if GATED:
            more = starts + tl.cast(outputs, tl.int64) * INPUTS + columns[None, :]
            raised += tl.load(weight + more, mask=taken, other=0).to(tl.float32) * values[None, :]
    result = tl.sum(total, 1)
    factor = 1.0
    if NORMED:
        factor = 1.0 / tl.sqrt(tl.sum(squares, 0) / INPUTS + eps)
        result = result * factor
    if SCALED:
        result = result * tl.load(scales + rows, mask=inside, other=0).to(tl.float32)
    if GATED:
        up = tl.sum(raised, 1) * factor
        if SCALED:
            up = up * tl.load(scales + outputs + rows, mask=inside, other=0).to(tl.float32)
        result = result / (1.0 + tl.exp(-result)) * up
    if ADDED:
        result += tl.load(residual + rows, mask=inside, other=0).to(tl.float32)
    tl.store(out + rows, result.to(out.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _attend_chunk(
    heads, cos, sin, positions, block, sums, highest, totals, row_stride, head_stride, chunk, chunks, scale,
    SHARING: tl.constexpr, KEY_HEADS: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    row, key_head, number = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    position = tl.load(positions + row)
    first = number * chunk
    d = tl.arange(0, WIDTH)
    swapped = (d + WIDTH // 2) % WIDTH
    query_heads: tl.constexpr = SHARING * KEY_HEADS
    own = heads + row * (query_heads + 2 * KEY_HEADS) * WIDTH
    stored = block + row.to(tl.int64) * row_stride + key_head.to(tl.int64) * head_stride
    stored_values = stored + tl.cast(head_stride, tl.int64) * KEY_HEADS
    c = tl.load(cos + position * WIDTH + d).to(tl.float32)
    s = tl.load(sin + position * WIDTH + d).to(tl.float32)
    key = own + (query_heads + key_head) * WIDTH
    new_key = (tl.load(key + d).to(tl.float32) * c + tl.load(key + swapped).to(tl.float32) * s).to(
        block.dtype.element_ty
    )
    new_value = tl.load(key + KEY_HEADS * WIDTH + d)
    if (position >= first) & (position < first + chunk):  # what is new goes into the cache by one program
        tl.store(stored + position * WIDTH + d, new_key)
        tl.store(stored_values + position * WIDTH + d, new_value)
    for shared in tl.static_range(SHARING):
        head = key_head * SHARING + shared
        query = own + head * WIDTH
        q = (tl.load(query + d).to(tl.float32) * c + tl.load(query + swapped).to(tl.float32) * s) * scale
        most = -float("inf")
        total = 0.0
        mixed = tl.zeros((WIDTH,), tl.float32)
        stop = tl.minimum(first + chunk, position + 1)
        for start in range(first, stop, TILE):
            places = start + tl.arange(0, TILE)
            there = places < stop
            older = (places < position) & there
            offsets = places[:, None] * WIDTH + d[None, :]
            new = (places == position)[:, None]
            keys = tl.load(stored + offsets, mask=older[:, None], other=0).to(tl.float32)
            keys = tl.where(new, new_key.to(tl.float32)[None, :], keys)
            scores = tl.where(there, tl.sum(keys * q[None, :], 1), -float("inf"))
            values = tl.load(stored_values + offsets, mask=older[:, None], other=0).to(tl.float32)
            values = tl.where(new, new_value.to(tl.float32)[None, :], values)
            now = tl.maximum(most, tl.max(scores, 0))
            faded = tl.exp(most - now)
            shares = tl.exp(scores - now)
            total = total * faded + tl.sum(shares, 0)
            mixed = mixed * faded + tl.sum(shares[:, None] * values, 0)
            most = now
        place = (row * query_heads + head) * chunks + number
        tl.store(highest + place, most)
        tl.store(totals + place, total)
        tl.store(sums + place * WIDTH + d, mixed)


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
    tile = BLOCK_OUT // 2 if gated else BLOCK_OUT
    _product_of_one_row[(triton.cdiv(outputs, tile),)](
        x, norm[0] if norm else x, weight, x if scales is None else scales, x if residual is None else residual, out,
        outputs, norm[1] if norm else 0.0,
        INPUTS=inputs, NORMED=norm is not None, GATED=gated, SCALED=scales is not None, ADDED=residual is not None,
        BLOCK_OUT=tile, BLOCK_IN=min(BLOCK_IN, triton.next_power_of_2(inputs)), num_warps=WARPS,
    )  # fmt: skip
    return out


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
        SHARING=query_heads // key_heads, KEY_HEADS=key_heads, WIDTH=width, TILE=TILE, num_warps=WARPS,
    )  # fmt: skip
    out = torch.empty(rows, query_heads * width, dtype=heads.dtype, device=heads.device)
    _join_chunks[(rows * query_heads,)](sums, highest, totals, out, CHUNKS=chunks, WIDTH=width, num_warps=WARPS)
    return out
