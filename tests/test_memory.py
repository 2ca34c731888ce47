"""The peak counts what was held, not what is."""

import torch

from studio.engine.memory import forget_peak_memory, peak_memory_bytes


def test_the_peak_rises_with_what_is_held_stays_and_can_be_forgotten():
    forget_peak_memory("cpu")
    before = peak_memory_bytes("cpu")
    held = torch.ones(20_000_000)
    del held
    assert 70e6 < peak_memory_bytes("cpu") - before < 120e6
    forget_peak_memory("cpu")
    assert peak_memory_bytes("cpu") - before < 40e6
