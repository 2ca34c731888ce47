"""CUDA graphs: a whole frame step recorded once and replayed as one launch.

A frame of the 3B model is near a thousand small kernels. Launching them one by one from Python
takes an order of magnitude longer than the card needs to run them.
"""

import logging
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_one_at_a_time = threading.Lock()  # a process can record one graph at a time

WARM_UP_RUNS = 2  # libraries choose kernels and allocate workspaces on first use, which capture forbids


@contextmanager
def capturing(graph: torch.cuda.CUDAGraph, **how: Any) -> Iterator[None]:
    """`torch.cuda.graph`, which leaves the stream of a capture that fails as the current one: here it is put back."""
    with _one_at_a_time:
        here = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, **how):
                yield
        finally:
            torch.cuda.set_stream(here)


@contextmanager
def aside() -> Iterator[None]:
    """A stream of its own for trial runs, as torch asks for before a recording; the two streams wait for each other."""
    here, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(here)
    with torch.cuda.stream(side):
        yield
    here.wait_stream(side)


def recorded(
    run: Callable[[Tensor], Tensor], example: Tensor, pool: Any = None, stream: torch.cuda.Stream | None = None
) -> Callable[[Tensor], Tensor]:
    """`run` as one launch, for inputs of the example's shape. What it returns is overwritten by the next call.

    Args:
        run: Does not look at a value on the host.
        example: On the device.
        pool: Memory that recordings share which never run at the same time.
        stream: Where to record. What is to run beside other recordings needs one of its own: the scratch memory of
            torch's products belongs to thread and stream, and a recording keeps to it.
    """
    with torch.cuda.device(example.device):
        own = example.clone()
        with aside():
            for _ in range(WARM_UP_RUNS):
                run(own)
        graph = torch.cuda.CUDAGraph()
        with capturing(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            made = run(own)

    def replay(given: Tensor) -> Tensor:
        own.copy_(given)
        graph.replay()
        return made

    return replay


class StepGraphs:
    """Recorded steps, one for each shape of step. All of them read and write the same buffers."""

    def __init__(self) -> None:
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None
        self._broken = False

    def forget(self) -> None:
        """Drop all recordings: the buffers they point to have moved."""
        self._graphs.clear()
        self._pool = None

    def run(self, shape: Hashable, step: Callable[[], None], rewind: Callable[[], Callable[[], None]]) -> None:
        """Run `step` once, from its recording if there can be one.

        Args:
            shape: everything the recording depends on besides the contents of the buffers.
            rewind: notes the state and returns what brings it back: trial runs move it on.
        """
        if self._broken:
            step()
            return
        if shape not in self._graphs:
            back = rewind()
            try:
                self._graphs[shape] = self._record(step, back)
            except RuntimeError as problem:
                self._broken = True
                logger.warning("No CUDA graph (%s): decoding kernel by kernel, several times slower.", problem)
                back()
                step()
                return
            back()
        self._graphs[shape].replay()

    def _record(self, step: Callable[[], None], back: Callable[[], None]) -> torch.cuda.CUDAGraph:
        with aside():
            for _ in range(WARM_UP_RUNS):
                step()
                back()  # else the trial runs would walk past the end of the cache
        graph = torch.cuda.CUDAGraph()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        # thread_local: the codec lab may use the card from another thread meanwhile
        with capturing(graph, pool=self._pool, capture_error_mode="thread_local"):
            step()
        return graph
