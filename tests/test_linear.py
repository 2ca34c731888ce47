"""Products give a row the same bits in any batch, whatever the weights are kept as."""

import numba
import numpy as np
import pytest
import torch

from studio.engine import cpu_products
from studio.engine.cpu_kernels import ARITHMETIC
from studio.engine.int8 import _sum_of_one_row, _unpacked_product, rounded
from studio.engine.linear import Linear
from studio.errors import BadSetting

pytestmark = pytest.mark.usefixtures("one_thread")


def some(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("shape", [(768, 256), (256, 576), (8208, 256)])
@pytest.mark.parametrize("kept_as", ["float16", "float32", "bfloat16", "int8"])
def test_a_row_times_weights_has_the_same_bits_in_any_batch(shape, kept_as):
    weight = some(*shape)
    if kept_as == "float16":  # which holds bfloat16 numbers exactly
        weight = weight.bfloat16().float()
    if kept_as == "bfloat16":
        weight = weight.bfloat16()
    x = some(64, shape[1])
    exact = x @ weight.float().T
    with torch.inference_mode():
        linear = Linear(weight, "int8" if kept_as == "int8" else "none")
        whole = linear(x)
        assert whole.dtype == torch.float32
        assert (whole - exact).norm() / exact.norm() < {"int8": 1e-2, "bfloat16": 5e-3}.get(kept_as, 1e-6)
        for rows in range(1, 65):
            assert torch.equal(linear(x[-rows:]), whole[-rows:]), f"{rows} rows"


@pytest.mark.parametrize("features", ["+avx2,+fma", "+sse2,+avx512f"])
def test_how_a_tile_is_cut_changes_no_bit(monkeypatch, features):
    """For processors with few short registers, and with many long ones: compiled here as there."""
    cut = cpu_products.lanes_and_parts
    monkeypatch.setattr(cpu_products, "lanes_and_parts", lambda rows, _: cut(rows, features))
    monkeypatch.setattr(cpu_products, "_add_block", numba.njit(**ARITHMETIC)(cpu_products._add_block.py_func))
    add_product = numba.njit(**ARITHMETIC)(cpu_products.add_product.py_func)
    weight, x = some(100, 96).bfloat16().float(), some(11, 96)
    weights = cpu_products.packed(weight)
    for rows in range(1, 12):
        sums = np.zeros((rows, 100), np.float32)
        add_product(x[:rows].numpy(), weights.ctypes.data, sums)
        assert np.array_equal(sums, cpu_products.product(x, weights, 100)[:rows].numpy())
        assert np.allclose(sums, x[:rows] @ weight.T, atol=1e-4)
    assert cut(6, features) == ((16, 1) if "512" in features else (8, 4))


def test_the_product_is_added_to_the_residual():
    residual, weight, x = some(3, 16), some(16, 32), some(3, 32)
    assert torch.allclose(Linear(weight).added_to(residual, x), residual + x @ weight.T, atol=1e-4)


def test_8_bit_weights_keep_each_outputs_own_scale():
    weight = some(8, 64) * torch.logspace(-4, 4, 8).unsqueeze(1)
    whole, scales = rounded(weight)
    assert whole.abs().max() == 127
    assert ((whole * scales.float().unsqueeze(1) - weight).abs() <= 0.51 * scales.float().unsqueeze(1)).all()
    assert torch.isfinite(rounded(torch.zeros(4, 8))[1].float()).all()


def test_the_forms_of_the_8_bit_product_agree():
    weight, x = some(48, 64), some(1, 64)
    whole, scales = rounded(weight)
    expected = x @ (whole * scales.float().unsqueeze(1)).T
    for product in (_sum_of_one_row, _unpacked_product):
        assert torch.allclose(product(x, whole, scales.float()), expected, rtol=1e-4, atol=1e-4)


def test_unknown_weights_are_refused_in_words():
    with pytest.raises(BadSetting, match="none or int8"):
        Linear(some(4, 4), "int3")
