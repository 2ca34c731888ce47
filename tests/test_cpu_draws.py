"""The compiled sampler draws what the sampler in tensors draws, and is not harmed by numbers that are none."""

import numpy as np
import pytest
import torch

from studio.engine import cpu_draws, sampler
from studio.engine.sampler import SamplerState, SpecialCodes, plan_for
from studio.sampling import Sampling

pytestmark = pytest.mark.usefixtures("one_thread")
K, V = 8, 1026
SPECIAL = SpecialCodes(1024, 1025, V)
ROWS = 48


def state_of(samplings: list[Sampling]) -> SamplerState:
    state = SamplerState.empty(len(samplings), K, torch.device("cpu"))
    for row, sampling in enumerate(samplings):
        state.start(row, sampling, torch.randint(0, 30, (5, K)), SPECIAL)
    return state


@pytest.mark.parametrize(
    "dials",
    [
        {},
        {"top_k": 1},
        {"top_k": 56, "top_p": 0.5},
        {"temperature": 0.05},
        {"temperature": 0.0},
        {"top_k": 0},
        {"top_k": 300, "top_p": 0.7},
        {"ras_window": 0},
        {"ras_window": 50, "ras_max_repeats": 1, "temperature": 1.5},
    ],
    ids=lambda dials: ",".join(f"{name}={value}" for name, value in dials.items()) or "default",
)
def test_frames_and_state_are_those_of_the_sampler_in_tensors(dials):
    torch.manual_seed(7)
    samplings = [Sampling(seed=seed, **dials) for seed in range(ROWS)]
    plan = plan_for(samplings, V)
    ours = state_of(samplings)
    theirs = ours.clone()
    codes, different = torch.arange(V), 0
    for frame in range(60):
        # Codes of a small set, so that some come again; and now and then a row ends.
        logits = 2 * torch.randn(ROWS, K, V) - 0.05 * codes
        logits[:8] = logits[:8].bfloat16().float()  # ties, of which either may be taken
        logits[8:16, :, 5:] = -torch.inf
        logits[..., SPECIAL.begin :] = -torch.inf
        if frame > 20:
            logits[frame % ROWS, frame % K, SPECIAL.end] = 60.0
        before = theirs.clone()
        ours.copy_(before)
        drawn = cpu_draws.next_frame(logits, ours, plan, SPECIAL).clone()
        expected = sampler.next_frame(logits, theirs, plan, SPECIAL).clone()
        different += int((drawn != expected)[8:].sum())
        same = (drawn == expected).all(1)
        assert torch.equal(ours.recent[same], theirs.recent[same])
        assert torch.equal(ours.ended_at[same], theirs.ended_at[same])
        assert torch.equal(ours.frame, theirs.frame)
    assert (theirs.ended_at < sampler.NEVER).any()
    assert different <= 4, "of 19,200: only where rounding puts a chance on the other side of a sum"


def test_numbers_that_are_none_are_drawn_without_harm():
    samplings = [Sampling(seed=1, top_k=10), Sampling(seed=2, temperature=0.0), Sampling(top_k=0, ras_max_repeats=1)]
    state = state_of(samplings)
    state.frame.fill_(20)
    for odd in (torch.nan, torch.inf, -torch.inf):
        logits = torch.full((len(samplings), K, V), odd)
        logits[:, 1, 7] = 1.0
        drawn = cpu_draws.next_frame(logits, state, plan_for(samplings, V), SPECIAL).numpy()
        assert np.isin(drawn, range(V)).all()
