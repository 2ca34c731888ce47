"""GPU step: a frame of some rows with the kernels of `gpu_kernels`, for a recording of it."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from studio.engine import gpu_kernels
from studio.engine.kv_cache import KvCache, SharedSpan
from studio.engine.linear import Linear

logger = logging.getLogger(__name__)

TRIED_POSITIONS = 512


class FusedStep:
    """The step of a network on a GPU: see `Network.step`."""

    def __init__(self, network: Any) -> None:
        """Weights are shared with the network."""
        self._network = network

    def __call__(self, codes: torch.Tensor, places: SharedSpan) -> torch.Tensor:
        """One frame of every row: codes, int64 [S, K] -> logits, [S, K * V]."""
        return self._through(self._network.layers, codes, places)

    @torch.inference_mode()
    def try_out(self) -> None:
        """Go through one layer and the head with one row and with two, so that every kernel has been compiled and run.

        Raises:
            Exception: whatever a compiler or a driver may say.
        """
        network = self._network
        like = {"dtype": network.dtype, "device": network.device}
        cache = KvCache((1, 2, 2 * network.key_heads, TRIED_POSITIONS, network.head_dim), **like)
        turns = torch.zeros(TRIED_POSITIONS, 1, network.head_dim, **like)
        for rows in (1, 2):
            positions = torch.full((rows,), TRIED_POSITIONS - 2, device=network.device)
            places = SharedSpan(cache, turns, turns, positions, TRIED_POSITIONS)
            codes = torch.zeros(rows, network.num_codebooks, dtype=torch.int64, device=network.device)
            logits = self._through(network.layers[:1], codes, places)
            if not bool(logits.isfinite().all()):  # which waits for the device
                raise ArithmeticError("a step gave what is no number")

    def _through(self, layers: Sequence[Any], codes: torch.Tensor, places: SharedSpan) -> torch.Tensor:
        network = self._network
        hidden = gpu_kernels.summed_embeddings(codes, network.offsets, network.audio_embeddings, network.dtype)
        return (self._one_row if len(hidden) == 1 else self._rows)(layers, hidden, places)

    def _one_row(self, layers: Sequence[Any], hidden: torch.Tensor, places: SharedSpan) -> torch.Tensor:
        network, product = self._network, gpu_kernels.product_of_one_row
        for number, layer in enumerate(layers):
            heads = product(hidden, *_kept(layer.qkv), norm=(layer.audio_norm, network.eps))
            attended = places.attend_fused(number, heads.view(1, -1, network.head_dim))
            hidden = product(attended, *_kept(layer.out), residual=hidden)
            mlp = layer.audio_mlp
            inner = product(hidden, *_kept(mlp.gate_up), norm=(mlp.norm, network.eps), gated=True)
            hidden = product(inner, *_kept(mlp.down), residual=hidden)
        return product(hidden, *_kept(network.head), norm=(network.norm, network.eps))

    def _rows(self, layers: Sequence[Any], hidden: torch.Tensor, places: SharedSpan) -> torch.Tensor:
        """Products by torch's libraries, which are as quick; every sum is normed for the product that comes next."""
        network = self._network
        next_norms = [*(layer.audio_norm for layer in layers[1:]), network.norm]
        normed = functional.rms_norm(hidden, layers[0].audio_norm.shape, layers[0].audio_norm, network.eps)
        for number, (layer, next_norm) in enumerate(zip(layers, next_norms, strict=True)):
            attended = places.attend_fused(number, layer.qkv(normed).view(len(hidden), -1, network.head_dim))
            mlp = layer.audio_mlp
            hidden, normed = self._added(hidden, layer.out(attended), mlp.norm)
            inner = gpu_kernels.gated(mlp.gate_up(normed))
            hidden, normed = self._added(hidden, mlp.down(inner), next_norm)
        return network.head(normed)

    def _added(
        self, hidden: torch.Tensor, added: torch.Tensor, norm: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return gpu_kernels.added_and_normed(hidden, added, norm, self._network.eps)


def tried_step(network: Any) -> FusedStep | None:
    """The step, if it works on this device; else the log says why not."""
    step = FusedStep(network)
    try:
        step.try_out()
    except Exception as problem:  # whatever a compiler may lack
        logger.warning("The GPU's own kernels do not run here (%r): a step takes torch's, which are slower.", problem)
        return None
    return step


def _kept(linear: Linear) -> tuple[torch.Tensor, torch.Tensor | None]:
    assert linear.kept is not None, "own kernels are for a GPU"
    return linear.kept
