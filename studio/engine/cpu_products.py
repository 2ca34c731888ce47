"""CPU products: rows times weights kept as bfloat16, in float32 arithmetic, by a kernel of our own.

Checkpoints are published in bfloat16, so nothing is lost, and half the bytes of float32 are read: weights are read
once a frame and used for a row or a few, so the bytes are the time. Each output is one chain of multiply-adds over
the inputs in their order, whatever rows stand beside it, so a row's bits do not depend on its batch.

Numba's own loops left half the machine idle here: they kept the sums in memory. So the innermost tile, up to six
rows by four vectors of outputs, is written in the compiler's language, where sums stay in registers; it asks for the
weights some inputs ahead. (Making a block's weights float32 once for many rows won no more than a tenth.)
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from studio.engine.cpu_kernels import compiled

LANES, VECTORS = 16, 4
BLOCK = LANES * VECTORS  # outputs of a tile
AHEAD = 32  # inputs: 4 KB of weights
MOST_ROWS = 6  # of a tile


def vectors_together(rows: int, features: str) -> int:
    """How many vectors of outputs a tile of so many rows sums at once, so that the sums stay in registers.

    Args:
        rows: 1 to `MOST_ROWS`.
        features: Of the processor, as LLVM names them. With AVX-512 a vector is one of 32 registers, else several.
    """
    if "+avx512f" in features.split(","):
        return VECTORS
    return {1: VECTORS, 2: VECTORS // 2}.get(rows, 1)


WHOLE, HALF, FLOAT = ir.IntType(64), ir.VectorType(ir.IntType(16), LANES), ir.VectorType(ir.FloatType(), LANES)
WORDS = ir.VectorType(ir.IntType(32), LANES)


def packed(weight: torch.Tensor) -> np.ndarray | None:
    """Weights [out, in] in the order in which a tile reads them, if bfloat16 holds them exactly.

    Returns:
        uint16 [ceil(out / BLOCK), VECTORS, in, LANES]: the bits of bfloat16, outputs filled up with zeros.
    """
    halves = weight.bfloat16()
    if weight.dtype not in (torch.float32, torch.bfloat16) or not torch.equal(halves.to(weight.dtype), weight):
        return None
    outputs, inputs = weight.shape
    blocks = -(-outputs // BLOCK)
    bits = np.zeros((blocks * BLOCK, inputs), np.uint16)
    bits[:outputs] = halves.contiguous().view(torch.int16).numpy().view(np.uint16)
    return np.ascontiguousarray(bits.reshape(blocks, VECTORS, LANES, inputs).swapaxes(2, 3))


def product(x: torch.Tensor, weights: np.ndarray, outputs: int) -> torch.Tensor:
    """Rows times weights. Shapes: float32 [M, in], `packed` weights -> [M, outputs]."""
    result = torch.zeros(len(x), outputs)
    add_product(x.contiguous().numpy(), weights.ctypes.data, result.numpy())
    return result


def added_product(residual: torch.Tensor, x: torch.Tensor, weights: np.ndarray) -> torch.Tensor:
    """Rows times weights, added to `residual`, [M, outputs]."""
    result = residual.clone()
    add_product(x.contiguous().numpy(), weights.ctypes.data, result.numpy())
    return result


def _tile_of(rows: int) -> Callable[..., None]:
    """A tile of so many rows: sums[row:, first:] += x[row:] times the block of weights at an address."""

    @intrinsic
    def tile(typing: Any, sums: Any, x: Any, weights: Any, row: Any, first: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            arrays = zip(signature.args[:2], given[:2], strict=True)
            sums, x = (context.make_array(kind)(context, builder, value) for kind, value in arrays)
            data = builder.inttoptr(given[2], ir.IntType(16).as_pointer())
            *_, features = context.codegen().magic_tuple()  # what the code is made for
            together = vectors_together(rows, features)
            for vector in range(0, VECTORS, together):
                _write_tile(builder, rows, range(vector, vector + together), sums, x, data, *given[3:])
            return context.get_dummy_value()

        return types.void(sums, x, types.intp, types.intp, types.intp), generate

    return tile  # type: ignore[no-any-return]


def _write_tile(builder: Any, rows: int, vectors: range, sums: Any, x: Any, weights: Any, row: Any, first: Any) -> None:
    """Write the code for some vectors of a tile. `sums` [M, N], `x` [M, in], `weights` points to [in, BLOCK]."""
    width, depth = builder.extract_value(sums.shape, 1), builder.extract_value(x.shape, 1)
    places, inputs = [], []
    for number in range(rows):
        at = builder.add(row, WHOLE(number))
        inputs.append(builder.gep(x.data, [builder.mul(at, depth)]))
        start = builder.add(builder.mul(at, width), first)
        places += [_vector_at(builder, sums.data, start, vector, FLOAT) for vector in vectors]
    before = [builder.load(place, align=4) for place in places]

    entry, loop, done = builder.block, builder.append_basic_block("depth"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(WHOLE)
    running = [builder.phi(FLOAT) for _ in places]
    factors = []
    for vector in vectors:
        start = builder.mul(builder.add(builder.mul(depth, WHOLE(vector)), k), WHOLE(LANES))
        _ask_for(builder, weights, builder.add(start, WHOLE(AHEAD * LANES)))
        factors.append(_widened(builder, _vector_at(builder, weights, start, 0, HALF)))
    after = _multiply_added(builder, running, inputs, factors, k)
    following = builder.add(k, WHOLE(1))
    for phi, begin, end in zip([k, *running], [WHOLE(0), *before], [following, *after], strict=True):
        phi.add_incoming(begin, entry)
        phi.add_incoming(end, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
    builder.position_at_end(done)
    for place, value in zip(places, after, strict=True):
        builder.store(value, place, align=4)


def _multiply_added(builder: Any, running: list[Any], inputs: list[Any], factors: list[Any], k: Any) -> list[Any]:
    """The sums after input `k`: each row's own times the block's weights for it."""
    fused = _named(builder, "llvm.fmuladd.v16f32", ir.FunctionType(FLOAT, [FLOAT] * 3))
    undefined, after = FLOAT(ir.Undefined), []
    for number, own in enumerate(inputs):
        one = builder.insert_element(undefined, builder.load(builder.gep(own, [k])), ir.IntType(32)(0))
        everywhere = builder.shuffle_vector(one, undefined, WORDS([0] * LANES))
        sums = running[number * len(factors) : (number + 1) * len(factors)]
        after += [builder.call(fused, [everywhere, factor, sum_]) for factor, sum_ in zip(factors, sums, strict=True)]
    return after


def _widened(builder: Any, place: Any) -> Any:
    """The weights at a vector's address as float32."""
    bits = builder.load(place, align=2)
    shifted = builder.shl(builder.zext(bits, WORDS), WORDS([16] * LANES))  # bfloat16 is float32 cut short
    return builder.bitcast(shifted, FLOAT)


def _ask_for(builder: Any, weights: Any, start: Any) -> None:
    """Have an input's weights brought near. Beyond the end of the weights that does nothing."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    bring = _named(builder, "llvm.prefetch.p0", ir.FunctionType(ir.VoidType(), [byte, number, number, number]))
    at = builder.bitcast(builder.gep(weights, [start]), byte)
    builder.call(bring, [at, number(0), number(3), number(1)])  # to be read, kept near, data


def _named(builder: Any, name: str, kind: ir.FunctionType) -> Any:
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)


def _vector_at(builder: Any, data: Any, start: Any, vector: int, kind: Any) -> Any:
    """The address of a tile's vector, `start` being that of its first."""
    return builder.bitcast(builder.gep(data, [builder.add(start, WHOLE(vector * LANES))]), kind.as_pointer())


_tile_of_1, _tile_of_2, _tile_of_3, _tile_of_4, _tile_of_5, _tile_of_6 = (_tile_of(rows) for rows in range(1, 7))


@compiled
def add_product(x: np.ndarray, weights: int, sums: np.ndarray) -> None:
    """Sums += x times weights. Shapes: [M, in], the address of `packed` weights, [M, out]."""
    rows, outputs = sums.shape
    block_bytes = x.shape[1] * BLOCK * 2
    whole = outputs // BLOCK
    for block in range(whole):
        _add_block(x, weights + block * block_bytes, sums, block * BLOCK)
    if outputs % BLOCK:
        rest = np.zeros((rows, BLOCK), np.float32)
        start = whole * BLOCK
        rest[:, : outputs - start] = sums[:, start:]
        _add_block(x, weights + whole * block_bytes, rest, 0)
        sums[:, start:] = rest[:, : outputs - start]


@compiled
def _add_block(x: np.ndarray, weights: int, sums: np.ndarray, first: int) -> None:
    row = 0
    while len(x) - row >= 6:
        _tile_of_6(sums, x, weights, row, first)
        row += 6
    left = len(x) - row
    if left == 5:
        _tile_of_5(sums, x, weights, row, first)
    elif left == 4:
        _tile_of_4(sums, x, weights, row, first)
    elif left == 3:
        _tile_of_3(sums, x, weights, row, first)
    elif left == 2:
        _tile_of_2(sums, x, weights, row, first)
    elif left == 1:
        _tile_of_1(sums, x, weights, row, first)
