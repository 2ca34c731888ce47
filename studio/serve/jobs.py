"""Jobs: one queue in front of one engine. A job shows where it stands and can be stopped at any frame."""

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from studio.conversation import Conversation
from studio.errors import GenerationFailed, StudioError
from studio.sampling import Sampling
from studio.speech import Progress, Way
from studio.takes import Reading

MOST_WAITING = 20

State = Literal["waiting", "running", "done", "failed"]
Speak = Callable[[Sequence[Conversation], Sampling, Way, Callable[[], bool]], Iterator[Progress | list[Reading]]]

log = logging.getLogger(__name__)


class Job:
    """One request to speak: what was asked, how far it is, what came of it."""

    def __init__(self, owner: str, conversations: Sequence[Conversation], sampling: Sampling, way: Way) -> None:
        self.owner = owner  # whose it is: only they may stop it
        self.conversations = conversations
        self.sampling = sampling
        self.way: Way = way
        self.state: State = "waiting"
        self.progress: Progress | None = None
        self.readings: list[Reading] = []
        self.problem: StudioError | None = None
        self._stop = threading.Event()
        self._finished = threading.Event()
        self._context = contextvars.copy_context()  # a Space counts GPU time against the visitor named in it

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return self._finished.is_set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask it to stop: it ends within one frame and keeps what has been spoken."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait until it has finished, at most so long."""
        self._finished.wait(seconds)

    def run(self, speak: Speak) -> None:
        """Do the work in this thread. Whatever goes wrong ends up in `problem`, in words for a person."""
        self.state = "running"
        try:
            self._context.run(self._follow, speak)  # all of it: a generator's body runs where it is iterated
            self._finish("done")
        except StudioError as problem:
            self.fail(problem)
        except Exception:
            log.exception("a generation failed")
            self.fail(GenerationFailed("Something went wrong in the engine; its log says what. Try again."))

    def fail(self, problem: StudioError) -> None:
        """End it with a reason."""
        self.problem = problem
        self._finish("failed")

    def _follow(self, speak: Speak) -> None:
        for step in speak(self.conversations, self.sampling, self.way, self._stop.is_set):
            if isinstance(step, list):
                self.readings = step
            else:
                self.progress = step

    def _finish(self, state: State) -> None:
        self.state = state
        self._finished.set()


class Jobs:
    """Runs jobs one after another: the weights are shared, and each job batches its own lines."""

    def __init__(self, speak: Speak) -> None:
        self._speak = speak
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._change = threading.Condition()
        threading.Thread(target=self._work, name="jobs", daemon=True).start()

    def submit(self, owner: str, conversations: Sequence[Conversation], sampling: Sampling, way: Way) -> Job:
        """Put a job into the queue.

        Raises:
            GenerationFailed: too many are waiting already.
        """
        job = Job(owner, conversations, sampling, way)
        with self._change:
            if len(self._waiting) >= MOST_WAITING:
                raise GenerationFailed(f"{MOST_WAITING} others are waiting already. Try again in a minute.")
            self._waiting.append(job)
            self._change.notify()
        return job

    def ahead(self, job: Job) -> int:
        """How many jobs are to be finished before this one begins."""
        with self._change:
            return self._waiting.index(job) + (self._running is not None) if job in self._waiting else 0

    def cancel(self, job: Job) -> None:
        """Stop a job: at once while it waits, within one frame while it runs."""
        with self._change:
            job.stop()
            if job in self._waiting:
                self._waiting.remove(job)
                job.fail(GenerationFailed("It was stopped while it waited."))

    def stop(self, owner: str) -> int:
        """Stop all jobs of one owner. Returns how many there were."""
        with self._change:
            running = [self._running] if self._running else []
            theirs = [job for job in (*running, *self._waiting) if job.owner == owner]
        for job in theirs:
            self.cancel(job)
        return len(theirs)

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting)
                self._running = self._waiting.popleft()
            self._running.run(self._speak)
            with self._change:
                self._running = None
