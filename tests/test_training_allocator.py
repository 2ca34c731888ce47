"""glibc takes large tensors from memory of its own; other C libraries are left alone."""

import ctypes
import sys

import pytest
import torch

from studio.training import allocator


def from_the_system() -> int:
    """Bytes that stand outside of the allocator's own memory, for single tensors."""

    class Mallinfo(ctypes.Structure):
        names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keep")
        _fields_ = [(name, ctypes.c_size_t) for name in names]

    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo
    return int(libc.mallinfo2().hblkhd)


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have no such settings")
def test_a_large_tensor_lies_in_memory_that_is_kept() -> None:
    assert allocator.keep_freed_memory()
    before = from_the_system()
    tensor = torch.ones(10_000_000)
    assert from_the_system() - before < tensor.nbytes


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
