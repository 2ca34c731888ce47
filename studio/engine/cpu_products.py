"""CPU products: rows times weights kept as bfloat16, in float32 arithmetic, by a kernel of our own.

Checkpoints are published in bfloat16, so nothing is lost, and half the bytes of float32 are read: weights are read
once a frame and used for a row or a few, so the bytes are the time. Each output is one chain of multiply-adds over
the inputs in their order, whatever rows stand beside it, so a row's bits do not depend on its batch.

Numba's own loops left half the machine idle here: they kept the sums in memory. So the innermost tile, up to six
rows by a block of outputs, is written in the compiler's language, cut so that its sums stay in the registers there are;
it asks for the weights some inputs ahead. (Making a block float32 once for many rows won no more than a tenth.)
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from studio.engine.cpu_kernels import compiled

BLOCK = 64  # outputs whose weights stand together
PAIR = 16  # outputs apart stand the two weights that share a word
AHEAD = 32  # inputs: 4 KB of weights
MOST_ROWS = 6  # of a tile

WHOLE = ir.IntType(64)


def lanes_and_parts(rows: int, features: str) -> tuple[int, int]:
    """How a tile of so many rows is made, so that its sums stay in registers.

    Args:
        rows: 1 to `MOST_ROWS`.
        features: Of the processor, as LLVM names them.

    Returns:
        Lanes of a vector, and of how many parts one after another.
    """
    if "+avx512f" in features.split(","):  # 32 registers of 16 lanes
        return 16, 1
    return 8, {1: 1, 2: 2}.get(rows, 4)  # 16 registers with AVX2


def packed(weight: torch.Tensor) -> np.ndarray | None:
    """Weights [out, in] in the order in which a tile reads them, if bfloat16 holds them exactly.

    Returns:
        uint16 [ceil(out / BLOCK), BLOCK / 32, in, PAIR, 2]: the bits of bfloat16, outputs filled up with zeros. Two
        share a word, of which a shift makes one float32 and a mask the other.
    """
    halves = weight.bfloat16()
    if weight.dtype not in (torch.float32, torch.bfloat16) or not torch.equal(halves.to(weight.dtype), weight):
        return None
    outputs, inputs = weight.shape
    blocks = -(-outputs // BLOCK)
    bits = np.zeros((blocks * BLOCK, inputs), np.uint16)
    bits[:outputs] = halves.contiguous().view(torch.int16).numpy().view(np.uint16)
    return np.ascontiguousarray(bits.reshape(blocks, -1, 2, PAIR, inputs).transpose(0, 1, 4, 3, 2))


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
            lanes, parts = lanes_and_parts(rows, features)
            words = [(pair, lane) for pair in range(0, BLOCK, 2 * PAIR) for lane in range(0, PAIR, lanes)]
            size = len(words) // parts
            for start in range(0, len(words), size):
                _Tile(builder, rows, lanes, words[start : start + size]).write(sums, x, data, *given[3:])
            return context.get_dummy_value()

        return types.void(sums, x, types.intp, types.intp, types.intp), generate

    return tile  # type: ignore[no-any-return]


class _Tile:
    """The code of some rows times some vectors of words, each of which holds the weights of two vectors of outputs."""

    def __init__(self, builder: Any, rows: int, lanes: int, words: list[tuple[int, int]]) -> None:
        """Words: the output that each vector of them begins with, by its pair and its lane."""
        self._builder, self._rows, self._words = builder, rows, words
        self._floats, self._bits = (ir.VectorType(kind, lanes) for kind in (ir.FloatType(), ir.IntType(32)))

    def write(self, sums: Any, x: Any, weights: Any, row: Any, first: Any) -> None:
        """`sums` [M, N], `x` [M, in], `weights` points to a block; all contiguous."""
        builder = self._builder
        width, depth = builder.extract_value(sums.shape, 1), builder.extract_value(x.shape, 1)
        places, inputs = [], []
        for number in range(self._rows):
            at = builder.add(row, WHOLE(number))
            inputs.append(builder.gep(x.data, [builder.mul(at, depth)]))
            start = builder.add(builder.mul(at, width), first)
            for pair, lane in self._words:
                for output in (pair + lane, pair + lane + PAIR):
                    places.append(self._at(sums.data, builder.add(start, WHOLE(output)), self._floats))
        before = [builder.load(place, align=4) for place in places]

        entry, loop, done = builder.block, builder.append_basic_block("depth"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(WHOLE)
        running = [builder.phi(self._floats) for _ in places]
        after = self._multiply_added(running, inputs, self._factors(weights, depth, k), k)
        following = builder.add(k, WHOLE(1))
        for phi, begin, end in zip([k, *running], [WHOLE(0), *before], [following, *after], strict=True):
            phi.add_incoming(begin, entry)
            phi.add_incoming(end, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
        builder.position_at_end(done)
        for place, value in zip(places, after, strict=True):
            builder.store(value, place, align=4)

    def _factors(self, weights: Any, depth: Any, k: Any) -> list[Any]:
        """The weights of input `k` as float32: bfloat16 is float32 cut short."""
        builder, factors = self._builder, list[Any]()
        for pair, lane in self._words:
            line = builder.add(builder.mul(depth, WHOLE(pair // (2 * PAIR))), k)
            start = builder.add(builder.mul(line, WHOLE(2 * PAIR)), WHOLE(2 * lane))
            if lane == 0:
                self._ask_for(builder.gep(weights, [builder.add(start, WHOLE(AHEAD * 2 * PAIR))]))
            both = builder.load(self._at(weights, start, self._bits), align=4)
            shift, mask = (self._bits([value] * self._bits.count) for value in (16, 0xFFFF0000))
            widened = builder.shl(both, shift), builder.and_(both, mask)
            factors += [builder.bitcast(each, self._floats) for each in widened]
        return factors

    def _multiply_added(self, running: list[Any], inputs: list[Any], factors: list[Any], k: Any) -> list[Any]:
        """The sums after input `k`: each row's own times the weights for it."""
        builder, floats = self._builder, self._floats
        fused = self._named(f"llvm.fmuladd.v{floats.count}f32", ir.FunctionType(floats, [floats] * 3))
        undefined, after = floats(ir.Undefined), []
        for number, own in enumerate(inputs):
            one = builder.insert_element(undefined, builder.load(builder.gep(own, [k])), ir.IntType(32)(0))
            everywhere = builder.shuffle_vector(one, undefined, self._bits([0] * floats.count))
            sums = running[number * len(factors) : (number + 1) * len(factors)]
            after += [builder.call(fused, [everywhere, each, sum_]) for each, sum_ in zip(factors, sums, strict=True)]
        return after

    def _ask_for(self, place: Any) -> None:
        """Have what stands there brought near. Beyond the end of the weights that does nothing."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        bring = self._named("llvm.prefetch.p0", ir.FunctionType(ir.VoidType(), [byte, number, number, number]))
        self._builder.call(bring, [self._builder.bitcast(place, byte), number(0), number(3), number(1)])

    def _named(self, name: str, kind: ir.FunctionType) -> Any:
        return self._builder.module.globals.get(name) or ir.Function(self._builder.module, kind, name)

    def _at(self, data: Any, start: Any, kind: Any) -> Any:
        """The address of a vector."""
        return self._builder.bitcast(self._builder.gep(data, [start]), kind.as_pointer())


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
