"""A training step as one CUDA graph: small models make a card wait for the host, which launches thousands of kernels.

A step that is recorded may not look at a value on the host: what changes from step to step comes in as tensors, what it
has to say goes out as tensors, and chance comes from torch's own generator, which a graph carries on. On a CPU the same
step simply runs.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from studio.engine.cuda_graph import aside, capturing

TRIALS = 4  # before a recording: libraries make their plans, optimisers their state


class RecordedStep:
    """Runs a step a few times as it is, then records it and plays the recording. All of them train."""

    def __init__(self, step: Callable[..., Tensor], device: torch.device) -> None:
        """Take a step.

        Args:
            step: From tensors of fixed shapes on the device to one tensor, which the next run overwrites.
            device: Where it runs.
        """
        self._step = step
        self._records = device.type == "cuda"
        self._trials = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._told = torch.empty(0)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """One step. The answer is a copy."""
        if not self._records:
            return self._step(*inputs)
        if self._graph is None and self._trials < TRIALS:
            self._trials += 1
            with aside():
                return self._step(*inputs).clone()
        if self._graph is None:
            self._record(inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        assert self._graph is not None
        self._graph.replay()
        return self._told.clone()

    def _record(self, inputs: Iterable[Tensor]) -> None:
        """Record without running; the inputs' places are the recording's own."""
        self._inputs = tuple(each.clone() for each in inputs)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with capturing(self._graph):
            self._told = self._step(*self._inputs)
