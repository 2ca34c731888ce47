"""Many clips at once: what can share a pass shares it, and no clip hears another's padding.

Both codecs normalise over time (group norm in HuBERT and in X-Codec2's decoder), so a clip padded to a longer
neighbour's length would come out changed. Only clips of equal length are stacked.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Protocol, TypeVar

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

CPU_PASS_SECONDS = 4.0  # a longer stack leaves the CPU's cache and is slower per clip than its clips alone
GPU_PASS_SECONDS = 240.0  # bounds the memory of one pass

Result = TypeVar("Result")


class Clip(Protocol):
    """What is stacked: samples or codes with their length in seconds."""

    @property
    def duration_seconds(self) -> float:
        """Length of the sound."""


Item = TypeVar("Item", bound=Clip)


def in_equal_stacks(
    items: Sequence[Item],
    shape: Callable[[Item], tuple[int, ...]],
    run: Callable[[list[Item]], list[Result]],
    device: torch.device,
) -> list[Result]:
    """Run items in stacks of equal shape.

    On a CPU the stacks run side by side, one thread each: a small codec's layers are too short to be split over
    cores, and clips are not.

    Args:
        items: What to run.
        shape: Items are stacked exactly when their shapes are equal.
        run: Takes a stack of items of equal shape, gives one result each. Called from several threads at once.
        device: Where the model is.

    Returns:
        One result for each item, in the items' order.
    """
    on_cpu = device.type == "cpu"
    stacks = _stacks(items, shape, CPU_PASS_SECONDS if on_cpu else GPU_PASS_SECONDS)
    workers = min(torch.get_num_threads(), len(stacks)) if on_cpu else 1
    if workers > 1:

        def on_one_thread(stack: list[int]) -> list[Result]:
            with _threads().limit(limits=1, user_api="openmp"):  # this thread's own setting, no other's
                return run([items[index] for index in stack])

        with ThreadPoolExecutor(workers) as pool:
            outcomes = list(pool.map(on_one_thread, stacks))
    else:
        outcomes = [run([items[index] for index in stack]) for stack in stacks]
    results: dict[int, Result] = {}
    for stack, outcome in zip(stacks, outcomes, strict=True):
        results.update(zip(stack, outcome, strict=True))
    return [results[index] for index in range(len(items))]


@cache
def _threads() -> ThreadpoolController:
    """Kept: it looks through all loaded libraries, which takes as long as a short clip's decode."""
    return ThreadpoolController()


def _stacks(
    items: Sequence[Item], shape: Callable[[Item], tuple[int, ...]], longest_pass_seconds: float
) -> list[list[int]]:
    """Indices of items in stacks of equal shape, long ones first so that no core is left waiting at the end."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for index, item in enumerate(items):
        alike.setdefault(shape(item), []).append(index)
    stacks = []
    for indices in sorted(alike.values(), key=lambda indices: -items[indices[0]].duration_seconds):
        seconds = len(indices) * items[indices[0]].duration_seconds
        parts = -(-seconds // longest_pass_seconds)
        parts += parts % 2  # an even number keeps two cores equally busy
        stacks += [part.tolist() for part in np.array_split(indices, min(len(indices), max(2, int(parts))))]
    return stacks
