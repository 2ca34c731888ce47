"""GPU step: a frame of some rows with the kernels of `gpu_kernels`, for a recording of it."""

from typing import Any

import torch
from torch.nn import functional

from studio.engine import gpu_kernels
from studio.engine.kv_cache import SharedSpan
from studio.engine.linear import Linear


class FusedStep:
    """The step of a network on a GPU: see `Network.step`."""

    def __init__(self, network: Any) -> None:
        """Weights are shared with the network."""
        self._network = network

    def __call__(self, hidden: torch.Tensor, places: SharedSpan) -> torch.Tensor:
        """One frame of every row: embedded codes, [S, H] -> logits, [S, K * V]."""
        network = self._network
        for number, layer in enumerate(network.layers):
            heads = self._product(layer.qkv, hidden, norm=layer.audio_norm)
            attended = places.attend_fused(number, heads.view(len(heads), -1, network.head_dim))
            hidden = self._added(layer.out, hidden, attended)
            mlp = layer.audio_mlp
            hidden = self._added(mlp.down, hidden, self._gated(mlp.gate_up, hidden, mlp.norm))
        return self._product(network.head, hidden, norm=network.norm)

    def _product(self, linear: Linear, x: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        eps = self._network.eps
        if len(x) == 1:
            return gpu_kernels.product_of_one_row(x, *_kept(linear), norm=(norm, eps))
        return linear(functional.rms_norm(x, norm.shape, norm, eps))

    def _gated(self, linear: Linear, x: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        if len(x) == 1:
            return gpu_kernels.product_of_one_row(x, *_kept(linear), norm=(norm, self._network.eps), gated=True)
        return gpu_kernels.gated(self._product(linear, x, norm))

    def _added(self, linear: Linear, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if len(x) == 1:
            return gpu_kernels.product_of_one_row(x, *_kept(linear), residual=residual)
        return linear.added_to(residual, x)


def _kept(linear: Linear) -> tuple[torch.Tensor, torch.Tensor | None]:
    assert linear.kept is not None, "own kernels are for a GPU"
    return linear.kept
