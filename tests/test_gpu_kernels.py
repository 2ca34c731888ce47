"""The GPU's own kernels against torch, where Triton is: on a GPU, or on a CPU with TRITON_INTERPRET=1."""

import os

import pytest
import torch

pytest.importorskip("triton", reason="comes with torch for CUDA only")
if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)

from torch.nn import functional

import studio.codecs  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from benchmarks.workload import random_3b
from studio.engine import gpu_kernels
from studio.engine.gpu_step import tried_step
from studio.engine.int8 import rounded
from studio.engine.kv_cache import KvCache, SharedSpan
from studio.engine.linear import Linear
from studio.engine.network import Network

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NEAR = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
# Triton's interpreter multiplies the bits of bfloat16 matrices as if they were whole numbers.
NEAR_IN_PRODUCTS = NEAR if DEVICE == "cuda" else {torch.float32: 1e-5, torch.float16: 2e-3}


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours.float() - theirs.float()).norm() / theirs.float().norm())


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("inputs", [192, 3072])
@pytest.mark.parametrize("small", [False, True])
def test_product_of_one_row_with_norm_gate_and_residual(dtype, inputs, small):
    x, norm, weight = drawn(1, inputs, dtype=dtype), drawn(inputs, dtype=dtype), drawn(96, inputs, dtype=dtype)
    residual = drawn(1, 96, dtype=dtype)
    kept = rounded(weight) if small else (weight, None)
    whole = kept[0].float() * kept[1].float().unsqueeze(1) if small else weight.float()
    product = gpu_kernels.product_of_one_row
    assert distance(product(x, *kept), x.float() @ whole.t()) < NEAR[dtype]
    expected = residual.float() + x.float() @ whole.t()
    assert distance(product(x, *kept, residual=residual), expected) < NEAR[dtype]
    normed = functional.rms_norm(x.float(), (inputs,), norm.float(), 1e-5) @ whole.t()
    assert distance(product(x, *kept, norm=(norm, 1e-5)), normed) < NEAR[dtype]
    gate, up = normed.chunk(2, -1)
    ours = product(x, *kept, norm=(norm, 1e-5), gated=True)
    assert distance(ours, functional.silu(gate) * up) < NEAR[dtype]


@pytest.mark.parametrize("dtype", NEAR)
def test_gate(dtype):
    gate_up = drawn(3, 2 * 1100, dtype=dtype)
    gate, up = gate_up.float().chunk(2, -1)
    assert distance(gpu_kernels.gated(gate_up), functional.silu(gate) * up) < NEAR[dtype]


@pytest.mark.parametrize("outputs, inputs", [(21, 72), (6, 41), (2048, 64)])
def test_product_of_one_row_of_any_size(outputs, inputs):
    x, weight = drawn(1, inputs), drawn(outputs, inputs)
    assert distance(gpu_kernels.product_of_one_row(x, weight), x @ weight.t()) < 1e-5


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("width", [192, 3072])
def test_sum_and_its_norm(dtype, width):
    hidden, norm = drawn(3, width, dtype=dtype), drawn(width, dtype=dtype)
    added = hidden.flip(0, 1).contiguous()
    total, normed = gpu_kernels.added_and_normed(hidden, added, norm, 1e-5)
    assert distance(total, hidden.float() + added.float()) < NEAR[dtype]
    expected = functional.rms_norm(total.float(), (width,), norm.float(), 1e-5)
    assert distance(normed, expected) < NEAR[dtype]


@pytest.mark.parametrize("dtype", NEAR_IN_PRODUCTS)
@pytest.mark.parametrize("span", [512, 8192])
def test_attention_stores_what_is_new_and_sees_each_row_to_its_own_end(dtype, span):
    last = [0, 63, 64, 300 if span == 512 else 8000]
    rows, key_heads, sharing, width = len(last), 2, 3, 32
    cache = KvCache((1, rows, 2 * key_heads, span, width), dtype, torch.device(DEVICE))
    cache.block.copy_(drawn(*cache.block.shape, dtype=dtype))
    cos, sin = drawn(span, 1, width, dtype=dtype), drawn(2 * span, 1, width, dtype=dtype)[:span]
    heads = drawn(rows, key_heads * (sharing + 2), width, dtype=dtype)
    before, positions = cache.block.clone(), torch.tensor(last, device=DEVICE)
    ours = SharedSpan(cache, cos, sin, positions, span).attend_fused(0, heads.clone())
    written = cache.block.clone()
    cache.block.copy_(before)
    theirs = SharedSpan(cache, cos, sin, positions, span).attend(0, heads.clone())
    assert distance(ours, theirs) < NEAR_IN_PRODUCTS[dtype]
    assert distance(written, cache.block) < NEAR_IN_PRODUCTS[dtype] / 10
    changed = (written != before).any(-1).any(2)[0]
    assert changed.nonzero().tolist() == [[row, place] for row, place in enumerate(last)]


class Kept(Linear):
    """On a CPU too, weights as a GPU keeps them."""

    def __init__(self, weight: torch.Tensor, quantize: str = "none") -> None:
        super().__init__(weight, quantize)
        self.kept = (weight, None)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_step_by_these_kernels_says_what_a_step_by_torch_says(monkeypatch, rows):
    monkeypatch.setattr("studio.engine.network.Linear", Kept)
    model = random_3b(DEVICE, tiny=True).float()
    network = Network(model)
    network.cover(512)
    shape = (len(network.layers), rows, 2 * network.key_heads, 512, network.head_dim)
    cache = KvCache(shape, network.dtype, network.device)
    cache.block.copy_(drawn(*shape))
    codes, positions = torch.full((rows, 8), 7, device=DEVICE), torch.tensor([70, 3][:rows], device=DEVICE)
    logits = []
    with torch.inference_mode():
        for fused in (False, True):
            network.fuse(fused)
            logits.append(network.step(codes, SharedSpan(cache, network.cos, network.sin, positions, 512)))
    assert distance(logits[1], logits[0]) < 1e-4


def test_embeddings_of_a_frame_are_added_up():
    codes, offsets = torch.tensor([[1, 2], [3, 0], [4, 4]], device=DEVICE), torch.tensor([0, 5], device=DEVICE)
    embeddings = drawn(10, 700)
    summed = gpu_kernels.summed_embeddings(codes, offsets, embeddings, torch.float32)
    assert distance(summed, embeddings[codes + offsets].sum(1)) < 1e-6


def test_a_first_trial_takes_these_kernels_or_says_why_not(monkeypatch, caplog):
    monkeypatch.setattr("studio.engine.network.Linear", Kept)
    network = Network(random_3b(DEVICE, tiny=True).float())
    assert tried_step(network) is not None

    def broken(*_: object, **__: object) -> torch.Tensor:
        raise OSError("no compiler")

    monkeypatch.setattr(gpu_kernels, "attend", broken)
    assert tried_step(network) is None
    assert "OSError('no compiler')" in caplog.text
