"""The sampler draws what transformers would draw: the same distributions, the same delay pattern, the same end."""

import studio.codecs  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
from transformers.models.higgs_audio_v2.generation_higgs_audio_v2 import HiggsAudioV2DelayPatternLogitsProcessor

from studio.engine import cpu_draws, sampler
from studio.engine.sampler import SamplerState, SpecialCodes, _streams, plan_for, uniforms
from studio.sampling import Sampling

K, V = 8, 1026
DRAWS = 20_000
SPECIAL = SpecialCodes(begin=1024, end=1025, codebook_size=V)
NO_AUDIO = torch.zeros(0, K, dtype=torch.int64)
LATER = 20  # a frame in which every codebook speaks


pytestmark = pytest.mark.usefixtures("one_thread")
NextFrame = Callable[..., torch.Tensor]


@pytest.fixture(params=[sampler.next_frame, cpu_draws.next_frame], ids=["in tensors", "compiled"])
def next_frame(request: pytest.FixtureRequest) -> NextFrame:
    return request.param


def rows_for(samplings: list[Sampling], frame: int = LATER, audio_rows: torch.Tensor = NO_AUDIO) -> SamplerState:
    state = SamplerState.empty(len(samplings), K, torch.device("cpu"))
    for row, sampling in enumerate(samplings):
        state.start(row, sampling, audio_rows, SPECIAL)
    state.frame.fill_(frame)
    return state


def draw(next_frame: NextFrame, logits: torch.Tensor, state: SamplerState, samplings: list[Sampling]) -> torch.Tensor:
    """`logits` [V], the same for each row and codebook."""
    everywhere = logits.expand(len(samplings), K, V).contiguous()
    return next_frame(everywhere, state, plan_for(samplings, V), SPECIAL).clone()


def some_logits() -> torch.Tensor:
    logits = 2.5 * torch.randn(V, generator=torch.Generator().manual_seed(3))
    logits[SPECIAL.begin :] = -torch.inf  # looked at elsewhere
    return logits


def warped(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The distribution transformers draws from: its processors in its order."""
    scores = logits.unsqueeze(0)
    scores = TemperatureLogitsWarper(sampling.temperature)(None, scores)
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    return scores.softmax(-1)[0].double()


def agreement(codes: torch.Tensor, expected: torch.Tensor) -> float:
    """Chi-square p-value of drawn codes, rare codes taken together."""
    counts = np.bincount(codes.flatten().numpy(), minlength=V)
    assert counts[(expected == 0).numpy()].sum() == 0, "a code outside the kept ones was drawn"
    wanted = expected.numpy() * counts.sum()
    common = wanted >= 5
    counts = np.append(counts[common], counts[~common].sum())
    wanted = np.append(wanted[common], wanted[~common].sum())
    if wanted[-1] < 1e-9:
        counts, wanted = counts[:-1], wanted[:-1]
    if len(counts) == 1:
        return 1.0
    return chisquare(counts, wanted * counts.sum() / wanted.sum()).pvalue


@pytest.mark.parametrize(
    "dials",
    [
        {"temperature": 1.0, "top_k": 0, "top_p": 1.0},
        {"temperature": 0.6, "top_k": 0, "top_p": 1.0},
        {"temperature": 1.5, "top_k": 0, "top_p": 1.0},
        {"temperature": 1.0, "top_k": 30, "top_p": 1.0},
        {"temperature": 1.0, "top_k": 200, "top_p": 1.0},
        {"temperature": 1.0, "top_k": 0, "top_p": 0.8},
        {"temperature": 1.0, "top_k": 1, "top_p": 1.0},
        {"temperature": 0.9, "top_k": 40, "top_p": 0.7},
    ],
    ids=lambda dials: ",".join(f"{name}={value}" for name, value in dials.items()),
)
def test_draws_follow_transformers_distribution(next_frame, dials):
    samplings = [Sampling(ras_window=0, seed=seed, **dials) for seed in range(DRAWS // K)]
    codes = draw(next_frame, some_logits(), rows_for(samplings), samplings)
    assert agreement(codes, warped(some_logits(), samplings[0])) > 0.001


def test_a_repeated_code_is_drawn_again_from_the_raw_distribution(next_frame):
    sampling = Sampling(temperature=0.5, top_k=30, ras_window=7, ras_max_repeats=2)
    samplings = [sampling.with_seed(seed) for seed in range(DRAWS // K)]
    logits = some_logits()
    often, once, outside = logits.argsort(descending=True)[:3].tolist()
    state = rows_for(samplings)
    state.recent[:, -2:] = often
    state.recent[:, -3] = once
    state.recent[:, :-7] = outside  # before the window
    codes = draw(next_frame, logits, state, samplings)
    kept, raw = warped(logits, sampling), logits.softmax(-1).double()
    first_try = kept.clone()
    first_try[often] = 0
    assert agreement(codes, first_try + kept[often] * raw) > 0.001


def test_codebooks_rows_and_frames_are_independent(next_frame):
    logits = torch.full((V,), -torch.inf)
    logits[:2] = 0
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, ras_window=0)
    samplings = [sampling.with_seed(seed) for seed in range(DRAWS // K)]
    state = rows_for(samplings)
    first, second = (
        draw(next_frame, logits, state, samplings).double(),
        draw(next_frame, logits, state, samplings).double(),
    )
    bits = torch.cat((first, second), 1)
    correlations = torch.corrcoef(bits.T) - torch.eye(2 * K)
    assert correlations.abs().max() < 0.1
    assert torch.corrcoef(torch.stack((first[:-1].flatten(), first[1:].flatten())))[0, 1].abs() < 0.03


def test_random_numbers_are_splitmix64():
    seed, frame = 12345, 77
    mask = 2**64 - 1
    golden = 0x9E3779B97F4A7C15

    def finalise(word: int) -> int:
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        return word ^ (word >> 31)

    start = finalise(seed * golden & mask)
    expected = [
        (finalise(finalise(start + number * golden & mask) + frame * golden & mask) >> 41) / 2**23
        for number in range(1, 2 * K + 1)
    ]
    numbers = uniforms(_streams(seed, K).unsqueeze(0), torch.tensor([frame]))
    assert numbers.flatten().tolist() == expected


def test_a_row_draws_the_same_beside_any_others(next_frame):
    torch.manual_seed(5)
    sampling = Sampling(seed=4)
    others = [Sampling(temperature=0.0), Sampling(top_k=0, top_p=0.5, seed=9), Sampling(top_k=500), Sampling(seed=4)]
    logits = 3 * torch.randn(5, K, V)
    logits[4] = logits[0]
    alone = rows_for([sampling])
    together = rows_for([sampling, *others])
    for _ in range(50):
        one = next_frame(logits[:1], alone, plan_for([sampling], V), SPECIAL)
        five = next_frame(logits, together, plan_for([sampling, *others], V), SPECIAL)
        assert torch.equal(five[0], one[0])
        assert torch.equal(five[4], one[0])


def test_temperature_zero_takes_the_likeliest(next_frame):
    sampling = Sampling(temperature=0.0, ras_window=0)
    logits = torch.randn(1, K, V)
    codes = next_frame(logits, rows_for([sampling]), plan_for([sampling], V), SPECIAL)
    assert torch.equal(codes, logits.argmax(-1))


@pytest.mark.parametrize("ending", [0, 3, 7, None], ids=lambda codebook: f"codebook {codebook} ends")
def test_delay_pattern_and_end_are_those_of_transformers(next_frame, ending):
    """Both sides choose greedily from the same logits; at frame 12 one codebook, or all, want to end."""
    bos, delay, audio = 8, 11, 9
    theirs = HiggsAudioV2DelayPatternLogitsProcessor([k + 1 for k in range(K)], bos, delay, 1024, 1025, K, V)
    sampling = Sampling(temperature=0.0)
    state = rows_for([sampling], frame=1)
    generator = torch.Generator().manual_seed(11)
    text = torch.tensor([[5, 6, 7, 5, 6, 7, 5, bos]])
    for frame in range(30):
        logits = torch.randn(1, K, V, generator=generator)
        logits[..., SPECIAL.begin :] = -20
        if frame == 12:
            logits[:, ending if ending is not None else slice(None), SPECIAL.end] = 50
        codes = theirs(text, logits.reshape(1, -1)).argmax(-1).view(1, K)
        ended = bool((codes == SPECIAL.end).any()) or int(text[0, -1]) == delay
        text = torch.cat((text, torch.tensor([[delay if ended else audio]])), 1)
        if frame == 0:
            assert (codes == SPECIAL.begin).all()  # ours begins after the begin of stream
            continue
        assert torch.equal(next_frame(logits, state, plan_for([sampling], V), SPECIAL), codes), f"frame {frame}"
        if (codes == SPECIAL.end).all():
            break
    assert frame == (12 if ending is None else 20)


def test_the_window_reaches_back_into_the_prompt_and_skips_begin_and_end(next_frame):
    prompt = torch.full((9, K), SPECIAL.end)
    prompt[-3:, 7] = torch.tensor([5, 5, SPECIAL.end])
    prompt[:, 1] = SPECIAL.begin
    logits = torch.full((V,), -30.0)
    logits[5], logits[6] = 0.0, -1.0
    sampling = Sampling(temperature=0.0, ras_window=12)
    samplings = [sampling.with_seed(seed) for seed in range(200)]
    codes = draw(next_frame, logits, rows_for(samplings, audio_rows=prompt), samplings)
    assert (codes[:, :7] == 5).all(), "nothing repeated there, so greedy"
    share = (codes[:, 7] == 6).double().mean()
    assert share == pytest.approx(float(logits.softmax(-1)[6]), abs=0.1), "drawn again there"
