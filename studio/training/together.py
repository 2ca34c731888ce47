"""Several processes that train one model, each on samples of its own: gradients are averaged at every step.

On a CPU two processes of one thread outrun one process of two threads, which wait for each other at every layer:
`torchrun --nnodes 1 --nproc-per-node 2 --master-addr 127.0.0.1 -m studio.training.speech …`.
"""

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed


class Together:
    """This process's place among those that train; alone it changes nothing."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.number = int(os.environ.get("RANK", "0"))
        if self.count > 1 and not distributed.is_initialized():
            distributed.init_process_group("gloo")

    @property
    def is_first(self) -> bool:
        """Whether it is for this process to write logs and checkpoints."""
        return self.number == 0

    def average(self, values: Iterable[Tensor | None]) -> None:
        """Set each tensor to its mean over all processes; every process must give the same shapes."""
        if self.count == 1:
            return
        given = [value for value in values if value is not None]
        flat = torch.cat([value.flatten() for value in given])
        distributed.all_reduce(flat)
        parts = flat.div_(self.count).split([value.numel() for value in given])
        for value, part in zip(given, parts, strict=True):
            value.copy_(part.view_as(value))

    def of_first(self, value: float) -> float:
        """The first process's value, for all."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(told, 0)
        return float(told)
