"""The lab's one queue: nothing runs on top of anything else, whoever waits is told, and problems come back in words."""

import threading
from collections.abc import Generator, Iterator

import pytest

from studio.errors import StudioError
from studio.ui.comparison import WAITING, WORKING, Comparisons


def last_word(steps: Generator[str, None, str]) -> tuple[list[str], str]:
    """What was shown meanwhile, and the outcome."""
    shown = []
    while True:
        try:
            shown.append(next(steps))
        except StopIteration as end:
            return shown, end.value


def test_work_waits_for_its_turn_and_says_so() -> None:
    comparisons = Comparisons()
    begun, free = threading.Event(), threading.Event()

    def comparing() -> Iterator[str]:
        begun.set()
        free.wait(10)
        yield "compared"

    running = comparisons.start("somebody", comparing)  # type: ignore[arg-type]
    assert begun.wait(10)
    steps = comparisons.watched(lambda: "encoded", str)
    assert next(steps) == WAITING
    free.set()
    shown, outcome = last_word(steps)
    assert outcome == "encoded"
    assert set(shown) <= {WORKING}
    assert [item for item in running.given(1) if item] == ["compared"]


def test_long_work_is_said_to_be_going_on() -> None:
    free = threading.Event()
    steps = Comparisons().watched(lambda: free.wait(10) and "done", str)
    assert next(steps) == WORKING
    free.set()
    assert last_word(steps) == ([], "done")


def test_a_problem_of_the_work_is_raised_where_it_was_asked_for() -> None:
    def failing() -> str:
        raise StudioError("No codec here decodes that.")

    comparisons = Comparisons()
    with pytest.raises(StudioError, match="No codec here decodes that"):
        last_word(comparisons.watched(failing, str))
    assert last_word(comparisons.watched(lambda: "next", str)) == ([], "next"), "the turn was never given back"


def test_whoever_leaves_gives_their_turn_to_the_next() -> None:
    comparisons = Comparisons()
    ended, free = threading.Event(), threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                free.wait(0.01)
                yield 1
        finally:
            ended.set()

    running = comparisons.start("somebody", endless)  # type: ignore[arg-type]
    comparisons.finish("somebody", running)
    assert ended.wait(10)
    assert last_word(comparisons.watched(lambda: "mine", str))[1] == "mine"
