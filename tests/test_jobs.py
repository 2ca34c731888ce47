"""Jobs run in order, one at a time; each can be stopped by whose it is, and whatever goes wrong becomes words."""

import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from studio.conversation import Conversation, Line, Speaker
from studio.errors import BadConversation, GenerationFailed
from studio.sampling import Sampling
from studio.serve.jobs import MOST_WAITING, Job, Jobs
from studio.speech import LineProgress, Progress
from studio.takes import Reading

TALK = [Conversation((Line(0, "Hi."),), (Speaker("Alma"),))]
READING = Reading(TALK[0], (), Sampling(), 1.0)
PATIENCE = 10  # seconds; only a failing test waits so long


def progress(frames: int) -> Progress:
    return Progress((LineProgress(0, (0,), frames, "speaking"),), 10, 25.0, 1.0)


class FakeEngine:
    """Speaks a frame each time it is let go on, and writes down whom it spoke for."""

    def __init__(self) -> None:
        self.go_on = threading.Semaphore(0)
        self.began: list[int] = []

    def speak(
        self, conversations: Sequence[Conversation], sampling: Sampling, way: str, cancelled: Callable[[], bool]
    ) -> Iterator[Progress | list[Reading]]:
        self.began.append(sampling.seed)
        for frame in range(3):
            assert self.go_on.acquire(timeout=PATIENCE)
            yield progress(frame)
            if cancelled():
                break
        yield [READING]


def quick(*_: Any) -> Iterator[Progress | list[Reading]]:
    yield progress(1)
    yield [READING]


def failing(problem: Exception) -> Callable[..., Iterator[Any]]:
    def speak(*_: Any) -> Iterator[Any]:
        yield progress(1)
        raise problem

    return speak


def until(job: Job, true: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if true():
            return
        job.wait(PATIENCE / 1_000)
    pytest.fail(f"waited in vain; the job is {job.state}")


def finished(job: Job) -> Job:
    until(job, lambda: job.finished)
    return job


def submit(jobs: Jobs, owner: str, seed: int = 0) -> Job:
    return jobs.submit(owner, TALK, Sampling(seed=seed), "lines")


def test_a_job_ends_with_its_readings():
    job = finished(submit(Jobs(quick), "ann"))
    assert (job.state, job.readings, job.problem) == ("done", [READING], None)
    assert job.progress == progress(1)


def test_jobs_run_one_at_a_time_in_the_order_they_came():
    engine = FakeEngine()
    jobs = Jobs(engine.speak)
    first, second, third = (submit(jobs, "ann", seed) for seed in (1, 2, 3))
    until(first, lambda: first.state == "running")
    assert [jobs.ahead(job) for job in (first, second, third)] == [0, 1, 2]
    assert (second.state, engine.began) == ("waiting", [1])
    for job in (first, second, third):
        engine.go_on.release(3)
        finished(job)
    assert engine.began == [1, 2, 3]
    until(third, lambda: jobs.stop("ann") == 0)
    assert jobs.ahead(third) == 0


def test_one_stops_ones_own_jobs_only():
    engine = FakeEngine()
    jobs = Jobs(engine.speak)
    anns, bens, anns_next = submit(jobs, "ann", 1), submit(jobs, "ben", 2), submit(jobs, "ann", 3)
    until(anns, lambda: anns.state == "running")
    assert jobs.stop("ann") == 2
    assert jobs.stop("nobody") == 0
    assert [job.stopping for job in (anns, bens, anns_next)] == [True, False, True]
    engine.go_on.release(1)
    assert finished(anns).progress == progress(0), "it ended within a frame"
    assert anns.readings == [READING], "what was spoken is kept"
    engine.go_on.release(3)
    assert finished(bens).progress == progress(2)
    assert str(finished(anns_next).problem) == "It was stopped while it waited."
    assert engine.began == [1, 2], "a job stopped while it waited never begins"


def test_an_error_for_the_person_is_handed_on_and_the_next_job_runs():
    problem = BadConversation("Line 3 has nothing to speak.")

    def speak(conversations: Any, sampling: Sampling, *_: Any) -> Iterator[Any]:
        return failing(problem)() if sampling.seed == 1 else quick()

    jobs = Jobs(speak)
    failed, next_one = submit(jobs, "ann", 1), submit(jobs, "ann", 2)
    assert finished(failed).problem is problem
    assert failed.state == "failed"
    assert finished(next_one).state == "done"


def test_a_fault_of_ours_becomes_words_and_stands_in_the_log(caplog: pytest.LogCaptureFixture):
    job = finished(submit(Jobs(failing(RuntimeError("CUDA error: secret path /home/x"))), "ann"))
    assert isinstance(job.problem, GenerationFailed)
    assert str(job.problem) == "Something went wrong in the engine; its log says what. Try again."
    assert "CUDA error" in caplog.text


def test_a_full_queue_turns_away_and_has_room_again():
    engine = FakeEngine()
    jobs = Jobs(engine.speak)
    running = submit(jobs, "ann", 1)
    until(running, lambda: running.state == "running")
    waiting = [submit(jobs, "ann", seed) for seed in range(2, 2 + MOST_WAITING)]
    with pytest.raises(GenerationFailed, match=f"{MOST_WAITING} others are waiting already. Try again in a minute"):
        submit(jobs, "ben")
    jobs.stop("ann")
    engine.go_on.release(1)
    finished(waiting[-1])
    engine.go_on.release(3)
    assert finished(submit(jobs, "ben", 99)).state == "done"
    assert engine.began == [1, 99]


VISITOR = contextvars.ContextVar("visitor", default="nobody")


def test_the_work_is_done_in_the_name_of_who_asked():
    """A Space reads from the context whose GPU time it is, where the generator runs."""
    seen: list[str] = []

    def speak(*_: Any) -> Iterator[list[Reading]]:
        seen.append(VISITOR.get())
        yield [READING]

    token = VISITOR.set("ann")
    job = submit(Jobs(speak), "ann")
    VISITOR.reset(token)
    assert finished(job).state == "done"
    assert seen == ["ann"]
