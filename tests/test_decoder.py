"""Our frame loop says what transformers' generate() says, alone and in a batch, cold and warm."""

import studio.codecs  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from collections.abc import Callable, Hashable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from studio.engine import cpu_draws, cpu_kernels, cpu_step
from studio.engine.batch import WORTH_SHARING, Batch
from studio.engine.cuda_graph import WARM_UP_RUNS, StepGraphs
from studio.engine.decoder import Decoded, Decoder, Request
from studio.engine.kv_cache import KvCache, OwnLengths
from studio.engine.memory import forget_peak_memory, peak_memory_bytes
from studio.engine.network import Network, attend_in_groups, mask_for_groups
from studio.engine.prefix_cache import PrefixCache, stretches
from studio.engine.prompt import Prompt
from studio.errors import BadConversation
from studio.sampling import Sampling

MINI = Path(__file__).parent.parent / "assets" / "mini" / "higgs-audio-v2-mini"
K, BEGIN, END = 8, 1024, 1025
GREEDY = Sampling(temperature=0.0, ras_window=0)
TEXTS = ["The sun rises in the east.", "How are you?", "I would like a cup of tea and a biscuit, please.", "Go!"]
SYSTEM = [{"role": "system", "content": [{"type": "text", "text": "Generate audio following instruction."}]}]
AUDIO = {"type": "audio"}


def load(dtype: torch.dtype = torch.float32, endless: bool = False) -> HiggsAudioV2ForConditionalGeneration:
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(MINI, dtype=dtype).eval()
    if endless:  # the end now weighs what code 0 weighs, and the first of two equals is taken
        heads = model.audio_lm_head.weight.data.view(K, -1, model.config.hidden_size)
        heads[:, END] = heads[:, 0]
    return model


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def theirs() -> HiggsAudioV2ForConditionalGeneration:
    return load()


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(load())


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MINI)


def delayed(codes: torch.Tensor) -> torch.Tensor:
    """Codes [K, T] as rows [T + 2 + K - 1, K] with begin and end, by the definition."""
    length = codes.shape[1]
    rows = torch.full((length + 2 + K - 1, K), END)
    for k in range(K):
        rows[: k + 1, k] = BEGIN
        rows[k + 1 : k + 1 + length, k] = codes[k]
    return rows


def prompt(tokenizer, messages: list[dict], clips: list[torch.Tensor]) -> Prompt:
    text = tokenizer.apply_chat_template(SYSTEM + messages, add_generation_prompt=True, tokenize=False)
    pieces = text.split("<|AUDIO_OUT|>")
    assert len(pieces) == len(clips) + 1
    rows = [delayed(clip) for clip in clips]
    for clip, piece in zip(rows, list(pieces[1:]), strict=True):
        audio = "<|AUDIO_OUT|>" * (len(clip) - K + 1) + "<|reserved_special_token_6|>" * (K - 1)
        pieces[0] += audio + piece
    ids = tokenizer(pieces[0], add_special_tokens=False, return_tensors="pt").input_ids[0]
    return Prompt(ids, torch.cat(rows) if rows else torch.zeros(0, K, dtype=torch.int64))


def clip(seed: int, frames: int = 20) -> torch.Tensor:
    return torch.randint(0, BEGIN, (K, frames), generator=torch.Generator().manual_seed(seed))


def said(role: str, *content: str | dict) -> dict:
    items = [item if isinstance(item, dict) else {"type": "text", "text": item} for item in content]
    return {"role": role, "content": items}


@pytest.fixture(scope="module")
def forms(tokenizer) -> dict[str, Prompt]:
    """Every form of conversation, all of different lengths."""
    return {
        "text only": prompt(tokenizer, [said("user", TEXTS[1])], []),
        "scene": prompt(tokenizer, [said("scene", "A quiet room."), said("user", TEXTS[0])], []),
        "reference in the scene": prompt(
            tokenizer,
            [said("scene", "A quiet room.", "SPEAKER0:", AUDIO, "SPEAKER1:", AUDIO), said("user", TEXTS[0])],
            [clip(1), clip(2, 33)],
        ),
        "reference as an earlier turn": prompt(
            tokenizer, [said("user", TEXTS[3]), said("assistant", AUDIO), said("user", TEXTS[2])], [clip(3, 50)]
        ),
    }


def inputs(prompts: list[Prompt]) -> dict[str, torch.Tensor]:
    """One batch for transformers: tokens padded on the left, audio rows on the right."""
    longest = max(len(item.token_ids) for item in prompts)
    most = max(len(item.audio_rows) for item in prompts)
    ids = torch.zeros(len(prompts), longest, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    rows = torch.full((len(prompts), most, K), END)
    rows_mask = torch.zeros(len(prompts), most, dtype=torch.bool)
    for index, item in enumerate(prompts):
        ids[index, longest - len(item.token_ids) :] = item.token_ids
        mask[index, longest - len(item.token_ids) :] = 1
        rows[index, : len(item.audio_rows)] = item.audio_rows
        rows_mask[index, : len(item.audio_rows)] = True
    batch = {"input_ids": ids, "attention_mask": mask}
    return batch | ({"audio_input_ids": rows, "audio_input_ids_mask": rows_mask} if most else {})


def generate(model, item: Prompt, max_frames: int) -> np.ndarray:
    """What transformers says, cut and undelayed as its processor does. Shape: [K, T]."""
    out = model.generate(**inputs([item]), do_sample=False, ras_win_len=None, max_new_tokens=max_frames + K)[0]
    out = out[len(item.audio_rows) + 1 :]
    ends = (out == END).all(-1).nonzero()
    out = out[: ends[0, 0] if len(ends) else None]
    length = len(out) - K + 1
    return torch.stack([out[k : k + length, k] for k in range(K)]).clip(0, BEGIN - 1).numpy()


def run(decoder: Decoder, requests: list[Request], **options) -> list[Decoded]:
    finished: dict[int, Decoded] = {}
    for progress in decoder.decode(requests, **options):
        assert not finished.keys() & progress.finished.keys()
        finished |= progress.finished
    return [finished[index] for index in range(len(requests))]


def same(one: list[Decoded], other: list[Decoded]) -> bool:
    return all(np.array_equal(a.values, b.values) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("form", ["text only", "scene", "reference in the scene", "reference as an earlier turn"])
def test_greedy_codes_equal_generate(theirs, decoder, forms, form):
    (ours,) = run(decoder, [Request(forms[form], GREEDY, 300)])
    expected = generate(theirs, forms[form], 300)
    assert expected.shape[1] >= 8
    assert np.array_equal(ours.values, expected)
    assert ours.ended
    assert ours.stopped_because is None


def test_greedy_codes_equal_generate_for_300_frames_alone_and_in_a_batch_of_four(forms):
    endless, ours = load(endless=True), Decoder(load(endless=True))
    requests = [Request(item, GREEDY, 300) for item in forms.values()]
    assert len({len(item.token_ids) for item in forms.values()}) == 4, "of different lengths"
    together = run(ours, requests)
    for request, decoded in zip(requests, together, strict=True):
        assert not decoded.ended
        assert decoded.values.shape[1] == 300
        assert np.array_equal(decoded.values, generate(endless, request.prompt, 300))
        assert same(run(ours, [request]), [decoded])


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.bfloat16, None)])
def test_logits_after_prefill_equal_the_models_forward(theirs, forms, dtype, limit):
    network = Network(load(dtype))
    network.cover(512)
    for item in forms.values():
        length = len(item.token_ids)
        begin = torch.full((1, K), BEGIN)
        with torch.inference_mode():
            shape = (len(network.layers), 1, 2 * network.key_heads, 512, network.head_dim)
            cache = KvCache(shape, network.dtype, torch.device("cpu"))
            for stretch in stretches(item, (9, 11), 64):
                network.prefill(stretch, cache, 0)
            ours = network.step(begin, OwnLengths(cache, network.cos, network.sin, [length]))[0].float()
            opened = Prompt(torch.cat((item.token_ids, torch.tensor([9]))), torch.cat((item.audio_rows, begin)))
            expected = theirs(**inputs([opened])).logits[0, -1].view(K, -1)
        if limit is not None:
            assert (ours - expected).abs().max() < limit
        else:
            assert (ours - expected).norm() / expected.norm() < 1e-2


def test_same_seed_gives_same_codes_alone_in_a_batch_and_again(decoder, forms):
    requests = [
        Request(item, Sampling(seed=seed, temperature=0.3 + 0.2 * seed, top_k=30 * (seed % 3)), 60)
        for seed, item in enumerate([*forms.values(), forms["scene"]])
    ]
    alone = [run(decoder, [request])[0] for request in requests]
    assert same(run(decoder, requests), alone)
    assert same(run(decoder, requests[::-1]), alone[::-1])
    other = run(decoder, [Request(forms["scene"], Sampling(seed=99), 60)])
    assert not same(other, run(decoder, [Request(forms["scene"], Sampling(seed=98), 60)]))


def test_nothing_is_compiled_once_the_decoder_stands(decoder, forms):
    prompt = next(iter(forms.values()))
    list(decoder.decode([Request(prompt, Sampling(seed=seed), 3) for seed in range(WORTH_SHARING)]))
    kernels = (cpu_kernels.norm_rows, cpu_kernels.gate_rows, cpu_step.step_rows, cpu_step._frame, cpu_draws.draw_frame)
    assert [len(kernel.signatures) for kernel in kernels] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("threads", [1, 2])
def test_takes_of_one_line_are_what_each_is_alone(decoder, forms, threads):
    torch.set_num_threads(threads)
    try:
        requests = [Request(forms["scene"], Sampling(seed=seed, temperature=1.0), 25) for seed in range(6)]
        assert same(run(decoder, requests), [run(decoder, [request])[0] for request in requests])
    finally:
        torch.set_num_threads(1)


def test_waiting_requests_take_freed_slots_and_are_not_changed_by_it(forms):
    decoder = Decoder(load(), slots=2)
    requests = [Request(item, Sampling(seed=seed), 40) for seed, item in enumerate([*forms.values()] * 2)]
    alone = [run(decoder, [request])[0] for request in requests]
    speaking: list[int] = []
    finished: dict[int, Decoded] = {}
    before = [0] * len(requests)
    for progress in decoder.decode(requests):
        speaking.append(sum(now > past for now, past in zip(progress.frames, before, strict=True)))
        before = progress.frames
        finished |= progress.finished
    assert same([finished[index] for index in range(len(requests))], alone)
    assert max(speaking) == 2


def test_cache_growth_changes_nothing(theirs, decoder, tokenizer):
    long = prompt(tokenizer, [said("scene", "Here.", "SPEAKER0:", AUDIO), said("user", TEXTS[0])], [clip(4, 434)])
    assert 480 < len(long.token_ids) < 512
    requests = [Request(long, GREEDY, 60), Request(prompt(tokenizer, [said("user", TEXTS[2])], []), GREEDY, 60)]
    together = run(decoder, requests)
    assert len(long.token_ids) + together[0].values.shape[1] > 512
    assert np.array_equal(together[0].values, generate(theirs, long, 60))
    assert same(together, [run(decoder, [request])[0] for request in requests])


def test_fixed_shapes_as_a_gpu_takes_them_give_the_same_codes(theirs, forms):
    decoder = Decoder(load(), slots=3, fixed_shapes=True)
    decoded = run(decoder, [Request(item, GREEDY, 100) for item in forms.values()])
    for item, ours in zip(forms.values(), decoded, strict=True):
        assert np.array_equal(ours.values, generate(theirs, item, 100))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_as_a_gpu_records_it_never_asks_for_a_number(forms, dtype):
    """On tensors without contents, where the way of a GPU is taken, whatever would make the host wait is an error."""
    decoder = Decoder(load(dtype).to("meta"), slots=3)
    assert decoder._fixed_shapes
    batch = decoder._take_batch()
    dials = [{}, {"temperature": 0.0}, {"top_k": 0}, {"top_k": 300, "ras_window": 0}]
    for item, dial in zip([*forms.values()][:3], dials, strict=False):
        batch.enter(item, Sampling(**dial), decoder._prefixes, 64)
        assert batch.step().shape == (len(batch), K)
    batch.leave(0)
    batch.enter(forms["scene"], Sampling(**dials[3]), decoder._prefixes, 64)
    put_back = batch._noted()
    assert batch.step().shape == (3, K)
    with torch.inference_mode():
        put_back()


class RecordingInWords(StepGraphs):
    """Recorded steps without a GPU: trial runs as there, and for a recording the step itself."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.recorded: list[Hashable] = []
        self.replayed = 0
        self._fails = broken

    def run(self, shape: Hashable, *how: Any) -> None:
        self.recorded += [shape] if shape not in self._graphs else []
        super().run(shape, *how)

    def _record(self, step: Callable[[], None], back: Callable[[], None]) -> Any:
        for _ in range(WARM_UP_RUNS):
            step()
            back()
        if self._fails:
            step()
            raise RuntimeError("not to be captured")

        def replay() -> None:
            self.replayed += 1
            step()

        return SimpleNamespace(replay=replay)


@pytest.mark.parametrize("broken", [False, True])
def test_recording_steps_changes_no_code_and_falls_back_aloud(decoder, forms, broken, caplog):
    recording = RecordingInWords(broken=broken)
    paced = Decoder(load(), slots=3, fixed_shapes=True)
    batch = paced._idle_batch = paced._take_batch()
    batch._graphs = recording
    requests = [Request(item, Sampling(seed=seed, top_k=0), 20 + seed) for seed, item in enumerate([*forms.values()])]
    plain = Decoder(load(), slots=3, fixed_shapes=True)
    assert same(run(paced, requests), run(plain, requests))
    assert ("No CUDA graph (not to be captured)" in caplog.text) == broken
    if not broken:
        assert {shape[:2] for shape in recording.recorded} <= {(1, 512), (2, 512), (3, 512)}
        assert recording.replayed > 20
        assert len(set(recording.recorded)) == len(recording.recorded), "each shape is recorded once"


@pytest.mark.parametrize("fixed_shapes", [False, True])
def test_grouped_key_heads_and_weights_that_bfloat16_does_not_hold(forms, fixed_shapes):
    own = HiggsAudioV2Config.from_pretrained(MINI)
    own.hidden_size, own.intermediate_size, own.num_hidden_layers = 192, 128, 3
    own.num_attention_heads, own.num_key_value_heads, own.head_dim = 6, 2, 32
    torch.manual_seed(4)
    model = HiggsAudioV2ForConditionalGeneration(own).eval()
    for name, weights in model.named_parameters():
        weights.data.normal_(1, 0.2) if "norm" in name else weights.data.normal_(0, 0.15)
    requests = [Request(item, GREEDY, 20) for item in forms.values()]
    expected = [generate(model, request.prompt, 20) for request in requests]
    decoded = run(Decoder(model, fixed_shapes=fixed_shapes), requests)
    assert len(np.unique(expected[0])) > 20
    assert all(np.array_equal(ours.values, codes) for ours, codes in zip(decoded, expected, strict=True))


def test_8_bit_weights_say_nearly_the_same_and_the_same_alone_as_in_a_batch(decoder, forms):
    small = Decoder(load(), quantize="int8")
    requests = [Request(item, Sampling(seed=seed), 20) for seed, item in enumerate(forms.values())]
    assert same(run(small, requests), [run(small, [request])[0] for request in requests])
    begin = torch.full((1, K), BEGIN)
    both = []
    for one in (small, decoder):
        network = one._network
        network.cover(512)
        with torch.inference_mode():
            shape = (len(network.layers), 1, 2 * network.key_heads, 512, network.head_dim)
            cache = KvCache(shape, network.dtype, torch.device("cpu"))
            for stretch in stretches(forms["scene"], (9, 11), 64):
                network.prefill(stretch, cache, 0)
            length = len(forms["scene"].token_ids)
            both.append(network.step(begin, OwnLengths(cache, network.cos, network.sin, [length])))
    loss = (both[0] - both[1]).norm() / both[1].norm()
    assert 1e-4 < loss < 0.05


def test_weights_are_taken_over_without_standing_in_memory_twice():
    own = HiggsAudioV2Config.from_pretrained(MINI)
    own.hidden_size, own.intermediate_size, own.num_hidden_layers = 768, 2048, 8
    own.num_attention_heads, own.num_key_value_heads, own.head_dim = 12, 4, 64
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = HiggsAudioV2ForConditionalGeneration(own).eval()
    finally:
        torch.set_default_dtype(before)
    weights = sum(item.numel() * item.element_size() for item in model.parameters())
    forget_peak_memory("cpu")
    with_model = peak_memory_bytes("cpu")
    decoder = Decoder(model, prefix_bytes=0)
    assert decoder.slots == 8
    assert weights > 150e6
    assert peak_memory_bytes("cpu") - with_model < 0.5 * weights


@pytest.mark.parametrize("first_frames", [8, 11])
def test_a_gpus_pace_gives_the_same_codes(decoder, forms, first_frames):
    paced = Decoder(load(), slots=3, first_frames=first_frames)
    paced._frames_a_launch, paced._launches_ahead = 8, 1
    requests = [Request(item, Sampling(seed=seed), 30 + seed) for seed, item in enumerate([*forms.values()] * 2)]
    assert same(run(paced, requests), run(decoder, requests))
    longest = max(requests, key=lambda request: len(run(decoder, [request])[0].values.T))
    frames = [progress.frames for progress in paced.decode([longest])]
    assert frames[:2] == [[first_frames], [first_frames + 8]], "reports come when their frames are complete"


def test_queries_of_a_prompt_that_share_keys_stand_together():
    queries, keys, values = torch.randn(5, 6, 16), torch.randn(1, 2, 9, 16), torch.randn(1, 2, 9, 16)
    positions = torch.tensor([7, 2, 8, 3, 4])
    mask = mask_for_groups(positions, 9, 3, torch.float32)
    assert mask.stride(-2) % 16 == 0
    expected = torch.nn.functional.scaled_dot_product_attention(
        queries.transpose(0, 1)[None], keys, values, torch.arange(9) <= positions[:, None], enable_gqa=True
    )
    attended = attend_in_groups(queries, keys, values, mask)
    torch.testing.assert_close(attended, expected[0].transpose(0, 1).reshape(5, -1))


def test_a_warm_prefix_gives_the_same_codes_and_is_not_computed_again(forms, tokenizer, monkeypatch):
    decoder = Decoder(load())
    opening = said("scene", "Here.", "SPEAKER0:", AUDIO)
    first, second = (
        Request(prompt(tokenizer, [opening, said("user", text)], [clip(4, 200)]), Sampling(seed=5), 40)
        for text in TEXTS[:2]
    )
    cold = [run(Decoder(load(), prefix_bytes=0), [request])[0] for request in (first, second)]
    computed: list[int] = []
    prefill = Network.prefill
    monkeypatch.setattr(
        Network,
        "prefill",
        lambda self, *given, **how: (computed.append(len(given[0].tokens)), prefill(self, *given, **how))[1],
    )
    assert same(run(decoder, [first]), cold[:1])
    whole = sum(computed)
    computed.clear()
    assert same(run(decoder, [second]), cold[1:])
    assert whole == len(first.prompt.token_ids)
    assert 0 < sum(computed) < 0.4 * whole
    changed = Request(Prompt(second.prompt.token_ids, second.prompt.audio_rows.roll(1, 1)), second.sampling, 40)
    assert same(run(decoder, [changed]), run(Decoder(load(), prefix_bytes=0), [changed]))


def test_a_stretch_is_known_by_everything_before_it():
    rows = torch.zeros(0, K, dtype=torch.int64)
    one, other = (Prompt(torch.tensor([first, 5, 5, 5, 5, 5]), rows) for first in (6, 7))
    keys = [[stretch.key for stretch in stretches(item, (9, 11), 2)] for item in (one, other)]
    assert len({*keys[0], *keys[1]}) == 6


def test_the_prefix_cache_forgets_what_was_used_longest_ago():
    block = torch.zeros(10)
    cache = PrefixCache(max_bytes=2 * block.nbytes)
    cache.put(b"a", block)
    cache.put(b"b", block)
    cache.get(b"a")
    cache.put(b"c", block)
    cache.put(b"too large", torch.zeros(100))
    assert [cache.get(key) is not None for key in (b"a", b"b", b"c", b"too large")] == [True, False, True, False]
    assert cache.bytes <= cache.max_bytes


def test_cancel_ends_within_a_frame_and_keeps_what_there_is(decoder, forms):
    stop: list[bool] = []
    reports = []
    for progress in decoder.decode([Request(forms["scene"], GREEDY, 100)] * 9, cancelled=lambda: bool(stop)):
        reports.append(progress)
        if len(reports) == 20:
            stop.append(True)
    assert len(reports) == 21
    finished = reports[-1].finished
    assert sorted(finished) == list(range(9))
    assert [finished[index].values.shape[1] for index in range(9)] == [13] * 8 + [0]  # eight slots; the ninth waited
    assert {decoded.stopped_because for decoded in finished.values()} == {"stopped"}
    assert not any(decoded.ended for decoded in finished.values())


def test_a_closed_decode_computes_nothing_more(decoder, forms, monkeypatch):
    steps: list[int] = []
    step = Batch.step
    monkeypatch.setattr(Batch, "step", lambda self: (steps.append(1), step(self))[1])
    decoding = decoder.decode([Request(forms["scene"], GREEDY, 100)])
    assert len(list(islice(decoding, 5))) == 5
    decoding.close()
    assert len(steps) == 5
    assert next(decoding, None) is None
    assert run(decoder, [Request(forms["text only"], GREEDY, 3)])[0].values.shape == (K, 3)


@pytest.mark.parametrize("max_frames", [1, 2, 9])
def test_the_frame_budget_is_kept(decoder, forms, max_frames):
    request = Request(forms["scene"], GREEDY, max_frames)
    reports = list(decoder.decode([request]))
    assert len(reports) == max_frames + K - 1
    assert [progress.frames[0] for progress in reports][-1] == max_frames
    decoded = reports[-1].finished[0]
    assert not decoded.ended
    assert decoded.stopped_because is None
    longer = run(decoder, [Request(forms["scene"], GREEDY, 30)])[0]
    assert np.array_equal(decoded.values, longer.values[:, :max_frames])


def test_watch_sees_the_codes_so_far_and_can_end_one_row(decoder, forms):
    seen: list[tuple[int, int]] = []

    def watch(index: int, values: np.ndarray) -> str | None:
        seen.append((index, values.shape[1]))
        return "looping" if index == 1 and values.shape[1] > 5 else None

    free, ended = run(decoder, [Request(forms["scene"], GREEDY, 60)] * 2, watch=watch)
    assert ended.stopped_because == "looping"
    assert not ended.ended
    assert ended.values.shape[1] == 9  # 16 frames drawn, 7 of them not complete
    assert free.ended
    assert np.array_equal(free.values[:, :9], ended.values)
    assert [length for index, length in seen if index == 0][:3] == [1, 9, 17]


def test_progress_shows_the_codes_so_far(decoder, forms):
    so_far = [progress.values(0) for progress in decoder.decode([Request(forms["scene"], GREEDY, 20)])]
    assert [values.shape[1] for values in so_far][-3:] == [18, 19, 20]
    assert all(np.array_equal(values, so_far[-1][:, : values.shape[1]]) for values in so_far)


def test_a_prompt_beyond_the_models_positions_is_refused_in_words(decoder, tokenizer):
    long = prompt(tokenizer, [said("scene", "Here.", "SPEAKER0:", AUDIO), said("user", "Hi")], [clip(1, 4100)])
    with pytest.raises(BadConversation, match="4096 positions"):
        run(decoder, [Request(long, GREEDY, 10)])
    with pytest.raises(ValueError, match="opens the audio"):
        run(decoder, [Request(Prompt(long.token_ids[:-1], long.audio_rows), GREEDY, 10)])
