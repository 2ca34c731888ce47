"""Jobs: one queue in front of one engine. A job shows where it stands and can be stopped at any frame."""

import contextvars
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Literal

from studio.errors import GenerationFailed, StudioError
from studio.serve.live import LiveSound, LiveSounds
from studio.speech import Progress, SoundPiece, SpeechRequest, SpokenLines, readings_of
from studio.takes import Reading, gap_frames

MOST_WAITING = 20
MOST_OF_ONE_OWNER = 8  # waiting; of all programs of one machine, too
REMEMBERED = 64  # finished jobs, of all owners
NOTHING_SAID = "Nothing was said. Try another seed."

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
        program: str = "",
    ) -> None:
        self.id = secrets.token_hex(8)
        self.owner = owner  # whose it is: only they may stop it
        self.program = program  # where the program runs that waits for it; empty: it is a page's
        self.title = title
        self.request = request
        self.live = live  # what is spoken, while it is spoken; only for a request that streams
        self.state: State = "waiting"
        self.progress: Progress | None = None
        self.spoken: tuple[SpokenLines, ...] = ()
        self.problem: StudioError | None = None
        self._keep = keep
        self.first_sound_seconds: float | None = None  # from its beginning to the first piece that could be heard
        self._stop, self._abandoned = threading.Event(), threading.Event()
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

    def abandon(self) -> None:
        """Nobody waits for it any more: it ends within one frame, and nothing is made of what has been spoken."""
        self._abandoned.set()

    def forget(self) -> None:
        """Let go of the sound: it is kept elsewhere, or nobody wants it."""
        self.spoken = ()

    def wait(self, seconds: float) -> None:
        """Wait until it has finished, at most so long."""
        self._finished.wait(seconds)

    def reading(self) -> Reading:
        """What a finished job gave, which was asked for one conversation.

        Raises:
            StudioError: why it failed, or that nothing was said.
        """
        if self.problem:
            raise self.problem
        readings = readings_of(self.request, self.spoken)
        if not readings:
            raise GenerationFailed(NOTHING_SAID)
        return readings[0]

    def run(self, speak: Speak) -> None:
        """Do the work in this thread. Whatever goes wrong ends up in `problem`, in words for a person."""
        self.state = "running"
        try:
            self._context.run(self._follow, speak)  # all of it: a generator's body runs where it is iterated
            if self._keep and not self._abandoned.is_set():
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
        steps = speak(self.request, self._stop.is_set)
        for step in steps:
            if self._abandoned.is_set():
                if isinstance(steps, Generator):
                    steps.close()
                return
            if isinstance(step, Progress):
                self.progress = step
                if self.live:
                    for piece in step.sound:
                        self.live.add(piece, self._gap_seconds(piece, step.frame_rate, self.live))
                if step.sound and self.first_sound_seconds is None:
                    self.first_sound_seconds = time.perf_counter() - began
            else:
                self.spoken = step

    def _gap_seconds(self, piece: SoundPiece, frame_rate: float, live: LiveSound) -> float:
        """The silence before a piece, as the whole will have it."""
        if piece.start_frame:
            return 0.0
        line = self.request.conversations[piece.conversation].lines[piece.lines[0]]
        return gap_frames(line, frame_rate, first=not live.seconds) / frame_rate

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
        self,
        owner: str,
        request: SpeechRequest,
        title: str = "",
        keep: Callable[[Job], None] | None = None,
        program: str = "",
    ) -> Job:
        """Put a job into the queue.

        Args:
            owner: Whose it is: an unguessable token.
            request: What to speak.
            title: What the list of jobs calls it.
            keep: Told when it is spoken, in the thread of the jobs, to keep the result whoever still listens.
            program: Where a program runs that waits for it. All of one place count as one owner; such a job is neither
                listed when it is over nor heard by a token, so that it takes nothing away from the pages.

        Raises:
            GenerationFailed: too many are waiting already.
        """
        with self._change:
            if len(self._waiting) >= MOST_WAITING:
                raise GenerationFailed(f"{MOST_WAITING} others are waiting already. Try again in a minute.")
            theirs = [job for job in self._waiting if (job.program == program if program else job.owner == owner)]
            if len(theirs) >= MOST_OF_ONE_OWNER:
                raise GenerationFailed(
                    f"{MOST_OF_ONE_OWNER} of yours are waiting already. Let some finish, or stop them."
                )
            # Only now: a live sound takes the place of an older one, which somebody may be listening to.
            live = (LiveSound() if program else self.live.make()) if request.stream else None
            job = Job(owner, request, title, keep, live, program)
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
            self._drop(job)

    def abandon(self, job: Job) -> None:
        """Nobody waits for a job any more: as `cancel`, but nothing is made of what has been spoken."""
        with self._change:
            job.abandon()
            job.forget()
            self._drop(job)

    def _drop(self, job: Job) -> None:
        """End a job that has not begun."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._end(job)
            job.fail(GenerationFailed("It was stopped while it waited."))

    def _end(self, job: Job) -> None:
        """List a page's job among those that are over."""
        if not job.program:
            self._over.append(job)

    def of(self, owner: str) -> list[Job]:
        """The jobs of one owner: those that are over, oldest first, then the running one, then those that wait."""
        with self._change:
            running = [self._running] if self._running else []
            return [job for job in (*self._over, *running, *self._waiting) if job.owner == owner]

    def going(self, owner: str) -> bool:
        """Whether a job of one owner is waiting or running."""
        return any(not job.finished for job in self.of(owner))

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
                self._end(self._running)
                self._running = None
