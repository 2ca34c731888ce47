"""The lab's work in threads of its own, one run at a time for the whole studio: comparisons, and what programs ask for.

Timings are only worth showing while nothing else of this kind runs; and a handler whose visitor has left must not keep
the others waiting. What a run gives is queued, and it can be stopped.
"""

import contextvars
import logging
import queue
import secrets
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, TypeVar

from studio.errors import StudioError

POLL_SECONDS = 0.15
WAITING, WORKING = "Waiting for another comparison to finish …", "Working …"

T = TypeVar("T")

log = logging.getLogger(__name__)

_END = object()


class Running:
    """One run: what it has given so far, whether it is at its end, and why."""

    def __init__(self, turn: threading.Lock, work: Callable[[], Generator[Any, None, None]]) -> None:
        self.waiting = True
        self.problem: StudioError | None = None
        self._given: queue.Queue[Any] = queue.Queue()
        self._stop = threading.Event()
        context = contextvars.copy_context()  # a Space counts GPU time against the visitor named in it
        threading.Thread(target=context.run, args=(self._work, turn, work), name="comparison", daemon=True).start()

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

    def watched(self, work: Callable[[], T], shown: Callable[[str], Any]) -> Generator[Any, None, T]:
        """One piece of work in its turn: yields `shown` of the words for waiting or working, and returns its outcome.

        Raises:
            StudioError: as the work does.
        """
        owner = secrets.token_hex()
        running = self.start(owner, lambda: (work() for _ in range(1)))
        outcome: Any = None
        said = ""
        try:
            for item in running.given(POLL_SECONDS):
                words = WAITING if running.waiting else WORKING
                if item is not None:
                    outcome = item
                elif words != said:
                    said = words
                    yield shown(words)
        finally:
            self.finish(owner, running)
        if running.problem:
            raise running.problem
        result: T = outcome
        return result

    def finish(self, owner: str, running: Running) -> None:
        """Forget a run; one still at work is stopped, since nobody listens any more."""
        running.stop()
        if self._of.get(owner) is running:
            del self._of[owner]
