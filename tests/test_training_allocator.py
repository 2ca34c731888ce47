"""glibc takes the settings that let a training keep its memory; other C libraries are left alone."""

import sys

import pytest

from studio.training import allocator


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have no such settings")
def test_glibc_takes_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert allocator.keep_freed_memory()
    monkeypatch.setattr(allocator, "LARGEST_OWN", allocator.LARGEST_OWN + 1)
    assert not allocator.keep_freed_memory(), "it says so when one is refused"


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
