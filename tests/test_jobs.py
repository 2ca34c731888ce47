"""Jobs run in order, one at a time; each can be stopped by whose it is, and whatever goes wrong becomes words."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from studio.audio import Audio
from studio.conversation import Conversation, Line, Speaker
from studio.errors import BadConversation, GenerationFailed
from studio.sampling import Sampling
from studio.serve.jobs import MOST_OF_ONE_OWNER, MOST_WAITING, Job, Jobs
from studio.serve.live import MOST_SOUNDS
from studio.speech import LineProgress, Progress, SoundPiece, SpeechRequest, SpokenLines
from studio.takes import GAP_SECONDS

TALK = Conversation((Line(0, "Hi."),), (Speaker("Alma"),))
SPOKEN = (SpokenLines(0, (0,), (), 0),)
Step = Progress | tuple[SpokenLines, ...]
PATIENCE = 10  # seconds; only a failing test waits so long


def progress(frames: int) -> Progress:
    return Progress((LineProgress(0, (0,), (frames,), "speaking"),), 10, 25.0, 1.0)


class FakeEngine:
    """Speaks a frame each time it is let go on, and writes down whom it spoke for."""

    def __init__(self) -> None:
        self.go_on = threading.Semaphore(0)
        self.began: list[int] = []

    def speak(self, request: SpeechRequest, cancelled: Callable[[], bool]) -> Iterator[Step]:
        self.began.append(request.sampling.seed)
        for frame in range(3):
            assert self.go_on.acquire(timeout=PATIENCE)
            yield progress(frame)
            if cancelled():
                break
        yield SPOKEN


def quick(*_: Any) -> Iterator[Step]:
    yield progress(1)
    yield SPOKEN


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
    return jobs.submit(owner, SpeechRequest((TALK,), Sampling(seed=seed)))


def test_a_job_ends_with_what_was_spoken():
    job = finished(submit(Jobs(quick), "ann"))
    assert (job.state, job.spoken, job.problem) == ("done", SPOKEN, None)
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
    assert anns.spoken == SPOKEN, "what was spoken is kept"
    engine.go_on.release(3)
    assert finished(bens).progress == progress(2)
    assert str(finished(anns_next).problem) == "It was stopped while it waited."
    assert engine.began == [1, 2], "a job stopped while it waited never begins"


def test_an_error_for_the_person_is_handed_on_and_the_next_job_runs():
    problem = BadConversation("Line 3 has nothing to speak.")

    def speak(request: SpeechRequest, *_: Any) -> Iterator[Any]:
        return failing(problem)() if request.sampling.seed == 1 else quick()

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
    waiting = [submit(jobs, f"owner {seed}", seed) for seed in range(2, 2 + MOST_WAITING)]
    with pytest.raises(GenerationFailed, match=f"{MOST_WAITING} others are waiting already. Try again in a minute"):
        submit(jobs, "ben")
    for job in (running, *waiting):
        jobs.cancel(job)
    engine.go_on.release(1)
    finished(waiting[-1])
    engine.go_on.release(3)
    assert finished(submit(jobs, "ben", 99)).state == "done"
    assert engine.began == [1, 99]


VISITOR = contextvars.ContextVar("visitor", default="nobody")


def test_the_work_is_done_in_the_name_of_who_asked():
    """A Space reads from the context whose GPU time it is, where the generator runs."""
    seen: list[str] = []

    def speak(*_: Any) -> Iterator[Step]:
        seen.append(VISITOR.get())
        yield SPOKEN

    token = VISITOR.set("ann")
    job = submit(Jobs(speak), "ann")
    VISITOR.reset(token)
    assert finished(job).state == "done"
    assert seen == ["ann"]


def test_what_is_spoken_can_be_heard_while_it_is_spoken():
    pieces = [SoundPiece(0, (0,), start, Audio(np.full((1, 960), 0.5), 24_000)) for start in (0, 1)]

    def speak(*_: Any) -> Iterator[Step]:
        yield replace(progress(1), sound=tuple(pieces))
        yield SPOKEN

    jobs = Jobs(speak)
    silent = finished(submit(jobs, "ann"))
    assert (silent.live_token, silent.live) == (None, None)
    job = finished(jobs.submit("ann", SpeechRequest((TALK,), Sampling(), stream=True)))
    sound = jobs.live.find(job.live_token or "")
    assert sound is not None
    assert sound.seconds == 0.08
    assert job.first_sound_seconds is not None
    assert sound.closed_at is not None


def test_what_is_heard_meanwhile_has_the_silences_of_the_whole():
    talk = replace(TALK, lines=(Line(0, "One.", pause=0.2), Line(0, "Two."), Line(0, "Three.", pause=1.0)))
    pieces = [SoundPiece(0, (line,), 0, Audio(np.full((1, 960), 0.5), 24_000)) for line in range(3)]

    def speak(*_: Any) -> Iterator[Step]:
        yield replace(progress(1), sound=tuple(pieces))
        yield SPOKEN

    job = finished(Jobs(speak).submit("ann", SpeechRequest((talk,), Sampling(), stream=True)))
    assert job.live
    assert job.live.seconds == pytest.approx(0.2 + 0.04 + GAP_SECONDS + 0.04 + 1.0 + 0.04)


def test_a_sound_ends_with_the_job_that_fails():
    job = finished(
        Jobs(failing(RuntimeError("CUDA error"))).submit("ann", SpeechRequest((TALK,), Sampling(), stream=True))
    )
    assert job.state == "failed"
    assert job.live
    assert job.live.closed_at is not None


def test_who_is_turned_away_takes_no_sound_from_others():
    engine = FakeEngine()
    jobs = Jobs(engine.speak)
    asked = SpeechRequest((TALK,), Sampling(), stream=True)
    running = jobs.submit("ann", asked)
    until(running, lambda: running.state == "running")
    for _ in range(MOST_OF_ONE_OWNER):
        jobs.submit("ann", asked)
    for _ in range(MOST_SOUNDS):
        with pytest.raises(GenerationFailed):
            jobs.submit("ann", asked)
    assert jobs.live.find(running.live_token or "") is running.live
    jobs.stop("ann")
    engine.go_on.release(9)


def test_one_owner_leaves_room_for_others():
    engine = FakeEngine()
    jobs = Jobs(engine.speak)
    running = submit(jobs, "ann")
    until(running, lambda: running.state == "running")
    for _ in range(MOST_OF_ONE_OWNER):
        submit(jobs, "ann")
    with pytest.raises(GenerationFailed, match=f"{MOST_OF_ONE_OWNER} of yours are waiting already"):
        submit(jobs, "ann")
    submit(jobs, "ben")
    jobs.stop("ann")
    jobs.stop("ben")
    engine.go_on.release(9)


def test_the_list_of_an_owner_has_what_is_over_what_runs_and_what_waits():
    engine = FakeEngine()
    jobs = Jobs(engine.speak)
    first, second, third = submit(jobs, "ann", 1), submit(jobs, "ann", 2), submit(jobs, "ann", 3)
    submit(jobs, "ben", 4)
    engine.go_on.release(3)
    finished(first)
    until(second, lambda: second.state == "running")
    assert [job.state for job in jobs.of("ann")] == ["done", "running", "waiting"]
    jobs.cancel(second)
    jobs.cancel(third)
    engine.go_on.release(9)
    finished(second)
    assert {job.id for job in jobs.of("ann")} == {first.id, second.id, third.id}
    assert jobs.of("nobody") == []


def test_what_was_spoken_is_kept_before_the_job_counts_as_done():
    states: list[str] = []
    jobs = Jobs(quick)
    job = finished(
        jobs.submit("ann", SpeechRequest((TALK,), Sampling()), "Line 1", lambda job: states.append(job.state))
    )
    assert (states, job.state) == (["running"], "done")


def test_keeping_that_fails_is_told_and_the_queue_goes_on():
    def full(job: Job) -> None:
        raise GenerationFailed("The disk is full.")

    jobs = Jobs(quick)
    job = finished(jobs.submit("ann", SpeechRequest((TALK,), Sampling()), "", full))
    assert (job.state, str(job.problem)) == ("failed", "The disk is full.")
    assert finished(submit(jobs, "ann")).state == "done"
    assert job.spoken == (), "an older job lets go of its sound"
