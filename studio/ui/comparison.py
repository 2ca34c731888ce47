"""Work in a thread of its own, one run at a time for the whole studio: what it gives is queued, and it can be stopped.

Timings are only worth showing while nothing else of this kind runs; and a handler whose visitor has left must not keep
the others waiting.
"""

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

from studio.errors import StudioError

log = logging.getLogger(__name__)

_END = object()


class Running:
    """One run: what it has given so far, whether it is at its end, and why."""

    def __init__(self, turn: threading.Lock, work: Callable[[], Generator[Any, None, None]]) -> None:
        self.waiting = True
        self.problem: StudioError | None = None
        self._given: queue.Queue[Any] = queue.Queue()
        self._stop = threading.Event()
        threading.Thread(target=self._work, args=(turn, work), name="comparison", daemon=True).start()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask it to stop after the piece it is at."""
        self._stop.set()

    def given(self, poll_seconds: float) -> Iterator[Any]:
        """What it gives, in order; None whenever nothing came for so long."""
        while True:
            try:
                item = self._given.get(timeout=poll_seconds)
            except queue.Empty:
                yield None
                continue
            if item is _END:
                return
            yield item

    def _work(self, turn: threading.Lock, work: Callable[[], Generator[Any, None, None]]) -> None:
        try:
            with turn:
                self.waiting = False
                if self.stopping:
                    return
                with closing(work()) as items:
                    for item in items:
                        self._given.put(item)
                        if self.stopping:
                            break
        except StudioError as problem:
            self.problem = problem
        except Exception:
            log.exception("a comparison failed")
            self.problem = StudioError("Something went wrong in a codec; the studio's log says what. Try again.")
        finally:
            self._given.put(_END)


class Comparisons:
    """Runs one after another, each stoppable by the visitor it belongs to."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._of: dict[str, Running] = {}

    def start(self, owner: str, work: Callable[[], Generator[Any, None, None]]) -> Running:
        """Begin as soon as the ones before are done; a run the owner still has is stopped."""
        self.stop(owner)
        running = self._of[owner] = Running(self._turn, work)
        return running

    def stop(self, owner: str) -> None:
        """Stop the owner's run, if there is one."""
        if (running := self._of.get(owner)) is not None:
            running.stop()

    def finish(self, owner: str, running: Running) -> None:
        """Forget a run; one still at work is stopped, since nobody listens any more."""
        running.stop()
        if self._of.get(owner) is running:
            del self._of[owner]
