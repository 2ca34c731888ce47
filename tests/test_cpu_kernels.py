"""Each compiled kernel computes what torch computes, and a row's bits do not depend on its neighbours."""

import math

import numba
import pytest
import torch
from torch.nn import functional

from studio.engine import cpu_kernels
from studio.engine.kv_cache import KvCache, OwnLengths, rotate

pytestmark = pytest.mark.usefixtures("one_thread")
D = 64


def some(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def tables(positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    angles = torch.arange(positions).unsqueeze(1) / 10_000 ** (torch.arange(D // 2) / (D // 2))
    cos, sin = torch.cat((angles.cos(), angles.cos()), -1), torch.cat((-angles.sin(), angles.sin()), -1)
    return cos.unsqueeze(1), sin.unsqueeze(1)


def test_norm_and_gate():
    x, weight = 3 * some(5, 96), some(96)
    normed = cpu_kernels.rms_norm(x, weight, 1e-5)
    assert torch.allclose(normed, functional.rms_norm(x, (96,), weight, 1e-5), rtol=1e-5, atol=1e-6)
    gate_up = 20 * some(5, 192)
    gate_up[0, :4] = torch.tensor([0.0, -200.0, 200.0, -88.0])
    expected = functional.silu(gate_up[:, :96]) * gate_up[:, 96:]
    assert torch.allclose(cpu_kernels.gated(gate_up), expected, rtol=1e-5, atol=1e-6)
    for row in range(5):
        assert torch.equal(cpu_kernels.rms_norm(x[row : row + 1], weight, 1e-5)[0], normed[row])


def test_where_nothing_can_be_kept_on_disk_kernels_are_compiled_all_the_same():
    made: dict = {}
    exec("def twice(x):\n    return 2 * x", made)  # of no file, so with no place for what is compiled
    assert cpu_kernels.compiled(made["twice"])(4) == 8


def test_what_was_compiled_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path):
    file = tmp_path / "doubling.py"
    file.write_text("def twice(x):\n    return 2 * x\n")
    code = compile(file.read_text(), str(file), "exec")

    def hits(sources: str) -> int:
        made: dict = {}
        exec(code, made)
        monkeypatch.setattr(cpu_kernels, "_sources", lambda: sources)
        kernel = cpu_kernels.compiled(made["twice"])
        assert kernel(4) == 8
        return sum(kernel.stats.cache_hits.values())

    assert [hits(sources) for sources in ("one", "one", "other", "other")] == [0, 1, 0, 1]


def test_who_waits_for_the_compiler_is_told(monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    cpu_kernels.prepare(told.append)
    assert told == [] or not cpu_kernels.norm_rows.stats.cache_hits
    monkeypatch.setattr(cpu_kernels, "norm_rows", numba.njit(cpu_kernels.norm_rows.py_func))
    told.clear()
    cpu_kernels.prepare(told.append)
    cpu_kernels.prepare(told.append)
    assert told == ["Compiling kernels for this processor: some fifteen seconds."]


@pytest.mark.parametrize(("query_heads", "key_heads"), [(4, 4), (6, 2)])
def test_attention_over_own_lengths(query_heads, key_heads):
    lengths = [0, 1, 2, 7, 40, 77, 300, 511]
    rows = len(lengths)
    heads = some(rows, query_heads + 2 * key_heads, D)
    cos, sin = tables(512)
    cache = KvCache((1, rows, 2 * key_heads, 512, D), torch.float32, torch.device("cpu"))
    cache.block.copy_(some(1, rows, 2 * key_heads, 512, D))
    before = cache.block.clone()
    together = OwnLengths(cache, cos, sin, lengths).attend(0, heads.clone())
    for row, length in enumerate(lengths):
        turned = heads[row : row + 1].clone()
        rotate(turned[:, : query_heads + key_heads], cos[length], sin[length])
        queries, fresh = turned[0].split((query_heads, 2 * key_heads))
        stored = before[0, row].clone()
        stored[:, length] = fresh
        assert torch.allclose(cache.block[0, row], stored, atol=1e-6)
        keys, values = (
            part[:, : length + 1].repeat_interleave(query_heads // key_heads, 0) for part in stored.split(key_heads)
        )
        shares = (keys @ queries.unsqueeze(-1) / math.sqrt(D)).softmax(1)
        expected = (shares * values).sum(1).flatten()
        assert torch.allclose(together[row], expected, rtol=1e-4, atol=1e-5)
        single = KvCache((1, 1, 2 * key_heads, 512, D), torch.float32, torch.device("cpu"))
        single.block.copy_(before[:, row : row + 1])
        alone = OwnLengths(single, cos, sin, [length]).attend(0, heads[row : row + 1].clone())
        assert torch.equal(alone[0], together[row])
