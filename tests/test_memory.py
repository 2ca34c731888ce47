"""The peak counts what was held, not what is."""

from mmap import mmap

import torch

from studio.engine.memory import forget_peak_memory, peak_memory_bytes


def test_the_peak_rises_with_what_is_held_stays_and_can_be_forgotten():
    forget_peak_memory("cpu")
    before = peak_memory_bytes("cpu")
    held = mmap(-1, 80_000_000)  # pages of its own: what a long process has freed might be given again
    torch.frombuffer(held, dtype=torch.uint8).fill_(1)
    held.close()
    assert 70e6 < peak_memory_bytes("cpu") - before < 120e6
    forget_peak_memory("cpu")
    assert peak_memory_bytes("cpu") - before < 40e6
