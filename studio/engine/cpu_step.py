"""CPU step: a frame of some rows, from codes to the next codes, in one compiled call.

Python then says one thing a frame and not three hundred. That is what lets two cores decode the halves of a batch:
both would need the interpreter, which only one may have, at every turn.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from studio.engine.cpu_draws import draw_frame
from studio.engine.cpu_kernels import attend_rows, compiled, gate_rows, norm_rows
from studio.engine.cpu_products import BLOCK, add_product
from studio.engine.kv_cache import KvCache, OwnLengths
from studio.engine.sampler import SamplerState, SpecialCodes
from studio.sampling import Sampling


class CompiledStep:
    """The step of a network whose weights are all kept as bfloat16: see `Network.step`."""

    def __init__(self, network: Any) -> None:
        """Take what a frame needs; weights are shared with the network."""
        self.shape = (network.num_codebooks, network.codebook_size)
        layers = network.layers
        linears = [(layer.qkv, layer.out, layer.audio_mlp.gate_up, layer.audio_mlp.down) for layer in layers]
        self._kept = [network.head.packed, *(linear.packed for four in linears for linear in four)]  # by address only
        norms = [torch.stack((layer.audio_norm, layer.audio_mlp.norm)) for layer in layers]
        self.weights = (
            network.audio_embeddings.float().numpy(),
            np.array([[linear.packed.ctypes.data for linear in four] for four in linears]),
            torch.stack(norms).numpy(),
            network.norm.numpy(),
            network.head.packed.ctypes.data,
            network.intermediate_size,
            network.query_heads,
            np.float32(network.eps),
        )

    def __call__(self, codes: torch.Tensor, places: OwnLengths) -> torch.Tensor:
        """One frame of every row: codes, int64 [S, K] -> logits, float32 [S, K, V]."""
        logits = np.empty((len(codes), self.shape[0] * self.shape[1]), np.float32)
        _frame(codes.numpy(), *self.weights, places.block, *places.where, logits)
        return torch.from_numpy(logits).view(-1, *self.shape)


class ReadyRows:
    """Some rows of a batch with all that their frames need, as long as cache and tables stay where they are."""

    def __init__(
        self,
        step: CompiledStep,
        cache: KvCache,
        tables: tuple[torch.Tensor, torch.Tensor],
        state: SamplerState,
        first_row: int,
        special: SpecialCodes,
    ) -> None:
        """Rows from `first_row` of the cache on, as many as `state` has, which is moved on in place."""
        rows = len(state.codes)
        self._step = step  # its weights are known by address only
        self._positions = np.zeros(rows, np.int64)
        logits, drawn = np.empty((rows, *step.shape), np.float32), np.empty((rows, step.shape[0]), np.int64)
        cos, sin = (table.numpy() for table in tables)
        where = (first_row, self._positions, cos, sin)
        self.given = (
            (state.codes.numpy(), *step.weights, cache.array, *where, logits.reshape(rows, -1)),
            (logits, drawn, special.begin, special.end, *state.arrays),
        )

    def at(self, positions: Sequence[int]) -> "ReadyRows":
        """The same rows where each one's next frame stands at such a position."""
        self._positions[:] = positions
        return self

    def step(self) -> None:
        """Draw one frame of every row."""
        step_rows(*self.given)


def prepare() -> None:
    """Have the kernels compiled, so that nobody waits for it later."""
    special = SpecialCodes(begin=2, end=3, codebook_size=4)
    state = SamplerState.empty(1, 1, torch.device("cpu"))
    state.start(0, Sampling(temperature=0.0), torch.zeros(0, 1, dtype=torch.int64), special)
    step = CompiledStep.__new__(CompiledStep)
    table, norms = np.zeros((4, 4), np.float32), np.zeros((0, 2, 4), np.float32)
    step._kept, step.shape = [np.zeros((1, 4, BLOCK), np.uint16)], (1, 4)
    no_layers = np.zeros((0, 4), np.int64)
    step.weights = (table, no_layers, norms, table[0], step._kept[0].ctypes.data, 4, 1, np.float32(1))
    cache = KvCache((1, 1, 2, 1, 4), torch.float32, torch.device("cpu"))
    tables = (torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))
    ReadyRows(step, cache, tables, state, 0, special).step()
    step(state.codes, OwnLengths(cache, *tables, [0]))  # what sorts all codes draws by itself


@compiled
def step_rows(frame: tuple[Any, ...], draw: tuple[Any, ...]) -> None:
    """One frame of some rows, from the two halves of `ReadyRows.given`."""
    _frame(*frame)
    draw_frame(*draw)


@compiled
def _frame(
    codes: np.ndarray,
    embeddings: np.ndarray,
    products: np.ndarray,
    norms: np.ndarray,
    last_norm: np.ndarray,
    head: int,
    inner: int,
    query_heads: int,
    eps: np.float32,
    block: np.ndarray,
    first_row: int,
    positions: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Products: [layers, 4], the addresses of each layer's weights. Block: [layers, slots, 2 * key heads, P, D]."""
    logits[:] = 0
    rows, width = len(codes), embeddings.shape[1]
    hidden, normed = _embedded(codes, embeddings), np.empty((rows, width), np.float32)
    key_values, head_dim = block.shape[2], block.shape[4]
    count = query_heads + key_values
    for layer in range(len(products)):
        qkv, out, gate_up, down = products[layer]
        norm_rows(hidden, norms[layer, 0], eps, normed)
        heads = np.zeros((rows, count * head_dim), np.float32)
        add_product(normed, qkv, heads)
        attended = np.empty((rows, query_heads, head_dim), np.float32)
        heads_apart = heads.reshape(rows, count, head_dim)
        attend_rows(heads_apart, block[layer], first_row, positions, cos, sin, attended)
        add_product(attended.reshape(rows, (query_heads) * head_dim), out, hidden)
        norm_rows(hidden, norms[layer, 1], eps, normed)
        gates, gated = np.zeros((rows, 2 * inner), np.float32), np.empty((rows, inner), np.float32)
        add_product(normed, gate_up, gates)
        gate_rows(gates, gated)
        add_product(gated, down, hidden)
    norm_rows(hidden, last_norm, eps, normed)
    add_product(normed, head, logits)


@compiled
def _embedded(codes: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """The sum of each row's embeddings; those of a codebook follow those of the one before. Shape: [S, H]."""
    rows, codebooks = codes.shape
    size = len(embeddings) // codebooks
    hidden = np.zeros((rows, embeddings.shape[1]), np.float32)
    for row in range(rows):
        for k in range(codebooks):
            hidden[row] += embeddings[k * size + codes[row, k]]
    return hidden
