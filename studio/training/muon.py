"""Muon for many small matrices: those of one shape are made orthogonal together, in a handful of kernels.

The steps are those of `torch.optim.Muon` (Jordan, 2024), which takes the matrices one by one: a hundred of them cost a
GPU more time in launches than the model itself.
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor


class StackedMuon(torch.optim.Muon):
    """`torch.optim.Muon` in stacks; its states and settings are the same."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no loss is asked for again
        """Move the weights."""
        for group in self.param_groups:
            shapes = defaultdict[torch.Size, list[Tensor]](list)
            for each in group["params"]:
                if each.grad is not None:
                    shapes[each.shape].append(each)
            for shape, weights in shapes.items():
                self._move(weights, shape, group)

    def _move(self, weights: list[Tensor], shape: torch.Size, group: dict[str, Any]) -> None:
        gradients = [each.grad for each in weights if each.grad is not None]
        momenta = [self._momentum(each) for each in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov's
        moves = _orthogonal(torch.stack(list(ahead)), group["ns_coefficients"], group["ns_steps"], group["eps"])
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        rate = group["lr"] * 0.2 * max(shape) ** 0.5  # as large as AdamW's steps
        torch._foreach_add_(weights, list(moves.to(weights[0].dtype).unbind()), alpha=-rate)

    def _momentum(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return state["momentum_buffer"]


def _orthogonal(stack: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Each matrix near the nearest orthogonal one, by Newton and Schulz's iteration. Shape: `[N, A, B]`."""
    first, second, third = coefficients
    tall = stack.shape[1] > stack.shape[2]
    rows = (stack.mT if tall else stack).bfloat16()
    rows = rows / rows.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = rows @ rows.mT
        rows = torch.baddbmm(rows, torch.baddbmm(gram, gram, gram, beta=second, alpha=third), rows, beta=first)
    return rows.mT if tall else rows
