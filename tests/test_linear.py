"""Products give a row the same bits in any batch, whatever the weights are kept as."""

import pytest
import torch

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
