"""Jobs: one queue in front of one engine. A job shows where it stands and can be stopped at any frame."""

import contextvars
import logging
import queue
import threading
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
        self._news = threading.Condition()
        self._context = contextvars.copy_context()  # a Space counts GPU time against the visitor named in it

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed")

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask it to stop: it ends within one frame and keeps what has been spoken."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait until something changed, at most so long."""
        with self._news:
            self._news.wait(seconds)

    def run(self, speak: Speak) -> None:
        """Do the work in this thread. Whatever goes wrong ends up in `problem`, in words for a person."""
        self.state = "running"
        try:
            if self.stopping:
                raise GenerationFailed("It was stopped while it waited.")
            self._context.run(self._follow, speak)  # all of it: a generator's body runs where it is iterated
            self.state = "done"
        except StudioError as problem:
            self.problem, self.state = problem, "failed"
        except Exception:
            log.exception("a generation failed")
            self.problem = GenerationFailed("Something went wrong in the engine; its log says what. Try again.")
            self.state = "failed"
        self._tell()

    def _follow(self, speak: Speak) -> None:
        for step in speak(self.conversations, self.sampling, self.way, self._stop.is_set):
            if isinstance(step, list):
                self.readings = step
            else:
                self.progress = step
            self._tell()

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()


class Jobs:
    """Runs jobs one after another: the weights are shared, and each job batches its own lines."""

    def __init__(self, speak: Speak) -> None:
        self._speak = speak
        self._waiting: queue.Queue[Job] = queue.Queue(MOST_WAITING)
        self._open: list[Job] = []
        self._guard = threading.Lock()
        threading.Thread(target=self._work, name="jobs", daemon=True).start()

    def submit(self, owner: str, conversations: Sequence[Conversation], sampling: Sampling, way: Way) -> Job:
        """Put a job into the queue.

        Raises:
            GenerationFailed: too many are waiting already.
        """
        job = Job(owner, conversations, sampling, way)
        with self._guard:
            try:
                self._waiting.put_nowait(job)
            except queue.Full:
                raise GenerationFailed(f"{MOST_WAITING} others are waiting already. Try again in a minute.") from None
            self._open.append(job)
        return job

    def ahead(self, job: Job) -> int:
        """How many jobs are to be finished before this one begins."""
        with self._guard:
            return self._open.index(job) if job in self._open else 0

    def stop(self, owner: str) -> int:
        """Stop all jobs of one owner. Returns how many there were."""
        with self._guard:
            theirs = [job for job in self._open if job.owner == owner]
        for job in theirs:
            job.stop()
        return len(theirs)

    def _work(self) -> None:
        while True:
            job = self._waiting.get()
            job.run(self._speak)
            with self._guard:
                self._open.remove(job)
