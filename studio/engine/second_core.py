"""Second core: half of some work on another core, as long as that core is free to begin.

Rows of a batch do not look at each other, so halves of them meet once a frame, not at each of its forty products.
Where other programs keep the second core busy, the helper has not begun when the first half is done; then nobody
waits for it, and the second half is done here too.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from threadpoolctl import ThreadpoolController


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SecondCore:
    """One helping thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="second core", initializer=_keep_to_one_core)

    def both(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Do both, at once if that can be. `second` may wait for `first`, never the other way round."""
        helped = self._pool.submit(second)
        try:
            first()
        finally:
            begun = not helped.cancel()
            if begun:
                helped.exception()  # whatever comes of it, it no longer works on what is shared
        if begun:
            helped.result()
        else:
            second()


def _keep_to_one_core() -> None:
    torch.get_num_threads()  # a thread takes torch's number over when it first asks; only then does a limit hold
    ThreadpoolController().limit(limits=1, user_api="openmp")
