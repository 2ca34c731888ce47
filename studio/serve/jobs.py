"""Jobs: one queue in front of one engine. A job shows where it stands and can be stopped at any frame."""

import contextvars
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

from studio.errors import GenerationFailed, StudioError
from studio.serve.live import LiveSound, LiveSounds
from studio.speech import Progress, SpeechRequest, SpokenLines

MOST_WAITING = 20
MOST_OF_ONE_OWNER = 8  # waiting
REMEMBERED = 64  # finished jobs, of all owners

State = Literal["waiting", "running", "done", "failed"]
Speak = Callable[[SpeechRequest, Callable[[], bool]], Iterator[Progress | tuple[SpokenLines, ...]]]

log = logging.getLogger(__name__)


class Job:
    """One request to speak: what was asked, how far it is, what came of it."""

    def __init__(
        self,
        owner: str,
        request: SpeechRequest,
        title: str = "",
        keep: Callable[["Job"], None] | None = None,
        live: LiveSound | None = None,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.owner = owner  # whose it is: only they may stop it
        self.title = title
        self.request = request
        self.live = live  # what is spoken, while it is spoken; only for a request that streams
        self.state: State = "waiting"
        self.progress: Progress | None = None
        self.spoken: tuple[SpokenLines, ...] = ()
        self.problem: StudioError | None = None
        self._keep = keep
        self.first_sound_seconds: float | None = None  # from its beginning to the first piece that could be heard
        self._stop = threading.Event()
        self._finished = threading.Event()
        self._context = contextvars.copy_context()  # a Space counts GPU time against the visitor named in it

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return self._finished.is_set()

    @property
    def live_token(self) -> str | None:
        """Where it can be heard while it is spoken: /live/TOKEN; None if its request does not stream."""
        return self.live.token if self.live else None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask it to stop: it ends within one frame and keeps what has been spoken."""
        self._stop.set()

    def forget(self) -> None:
        """Let go of the sound: it is kept elsewhere, or nobody wants it."""
        self.spoken = ()

    def wait(self, seconds: float) -> None:
        """Wait until it has finished, at most so long."""
        self._finished.wait(seconds)

    def run(self, speak: Speak) -> None:
        """Do the work in this thread. Whatever goes wrong ends up in `problem`, in words for a person."""
        self.state = "running"
        try:
            self._context.run(self._follow, speak)  # all of it: a generator's body runs where it is iterated
            if self._keep:
                self._keep(self)  # before it counts as done: nobody may find it done and nothing kept
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
        began = time.perf_counter()
        for step in speak(self.request, self._stop.is_set):
            if isinstance(step, Progress):
                self.progress = step
                if self.live:
                    for piece in step.sound:
                        self.live.add(piece)
                if step.sound and self.first_sound_seconds is None:
                    self.first_sound_seconds = time.perf_counter() - began
            else:
                self.spoken = step

    def _finish(self, state: State) -> None:
        self.state = state
        if self.live:
            self.live.close()
        self._finished.set()


class Jobs:
    """Runs jobs one after another: the weights are shared, and each job batches its own lines."""

    def __init__(self, speak: Speak) -> None:
        self._speak = speak
        self.live = LiveSounds()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._over: deque[Job] = deque(maxlen=REMEMBERED)
        self._change = threading.Condition()
        threading.Thread(target=self._work, name="jobs", daemon=True).start()

    def submit(
        self, owner: str, request: SpeechRequest, title: str = "", keep: Callable[[Job], None] | None = None
    ) -> Job:
        """Put a job into the queue.

        Args:
            owner: Whose it is: an unguessable token.
            request: What to speak.
            title: What the list of jobs calls it.
            keep: Told when it is spoken, in the thread of the jobs, to keep the result whoever still listens.

        Raises:
            GenerationFailed: too many are waiting already.
        """
        with self._change:
            if len(self._waiting) >= MOST_WAITING:
                raise GenerationFailed(f"{MOST_WAITING} others are waiting already. Try again in a minute.")
            if sum(other.owner == owner for other in self._waiting) >= MOST_OF_ONE_OWNER:
                raise GenerationFailed(
                    f"{MOST_OF_ONE_OWNER} of yours are waiting already. Let some finish, or stop them."
                )
            # Only now: a live sound takes the place of an older one, which somebody may be listening to.
            job = Job(owner, request, title, keep, self.live.make() if request.stream else None)
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
                self._over.append(job)
                job.fail(GenerationFailed("It was stopped while it waited."))

    def of(self, owner: str) -> list[Job]:
        """The jobs of one owner: those that are over, oldest first, then the running one, then those that wait."""
        with self._change:
            running = [self._running] if self._running else []
            return [job for job in (*self._over, *running, *self._waiting) if job.owner == owner]

    def stop(self, owner: str) -> int:
        """Stop all jobs of one owner. Returns how many there were."""
        theirs = [job for job in self.of(owner) if not job.finished]
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
                for older in self._over:
                    if older.owner == self._running.owner:
                        older.forget()
                self._over.append(self._running)
                self._running = None
