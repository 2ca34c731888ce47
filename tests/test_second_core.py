"""Half of the work on another core: at once where it is free, here where it is not, and errors come through."""

import threading

import pytest

from studio.engine.second_core import SecondCore


def test_both_halves_are_at_work_at_once():
    met = threading.Barrier(2, timeout=30)
    names: list[str] = []

    def half() -> None:
        met.wait()
        names.append(threading.current_thread().name)

    SecondCore().both(half, half)
    assert len(set(names)) == 2


def test_a_helper_that_has_not_begun_is_not_waited_for():
    core = SecondCore()
    busy, begun = threading.Event(), threading.Event()
    core._pool.submit(lambda: (begun.set(), busy.wait()))
    begun.wait()
    names: list[str] = []
    core.both(lambda: names.append("first"), lambda: names.append(threading.current_thread().name))
    busy.set()
    assert names == ["first", threading.current_thread().name]


@pytest.mark.parametrize("which", [0, 1])
def test_what_goes_wrong_in_either_half_is_told(which):
    def wrong() -> None:
        raise ZeroDivisionError

    halves = [lambda: None, lambda: None]
    halves[which] = wrong
    with pytest.raises(ZeroDivisionError):
        SecondCore().both(*halves)
