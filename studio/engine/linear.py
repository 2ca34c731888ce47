"""Linear: products with fixed weights, packed once for the machine they run on.

On the CPU what goes in and out is float32, whatever the weights are kept as. Two things decide there.
Weights are read once a frame and used for one row or a few, so the bytes read are the time. And a row must
come out with the same bits whether it stands alone or in a batch: the plain product does not give that, since
MKL sums one row in another order than four. The packed products below do, for every number of rows tried
(tests/test_linear.py).
"""

import warnings
from collections.abc import Callable

import torch
from torch.nn import functional

from studio.engine.int8 import int8_product
from studio.errors import BadSetting

Product = Callable[[torch.Tensor], torch.Tensor]  # [M, in] -> [M, out]

QUANTIZATIONS = ("none", "int8")
FINEST_HALF = 2.0**-25  # half the distance of the smallest float16 numbers


class Linear:
    """A product with fixed weights [out, in]."""

    def __init__(self, weight: torch.Tensor, quantize: str = "none") -> None:
        """Pack `weight`; the tensor given is not kept, except unquantised on a GPU.

        Args:
            weight: what to multiply with.
            quantize: `none`, or `int8` for 8-bit weights: fewer bytes, and a loss that benchmarks/int8.py measures.

        Raises:
            BadSetting: `quantize` is neither.
        """
        if quantize not in QUANTIZATIONS:
            raise BadSetting(f"There are no “{quantize}” weights. Choose {' or '.join(QUANTIZATIONS)}.")
        fused = weight.device.type != "cpu" and quantize == "none"
        self._weight = weight if fused else None
        self._product = int8_product(weight) if quantize == "int8" else _product(weight)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product. Shapes: [M, in] -> [M, out]."""
        return self._product(x)

    def added_to(self, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The product added to `residual`, [M, out]."""
        if self._weight is not None:
            return torch.addmm(residual, x, self._weight.t())
        return self._product(x).add_(residual)


def _product(weight: torch.Tensor) -> Product:
    if weight.device.type == "cpu":
        for packing in (_float16_weights, _onednn):
            product = packing(weight)
            if product is not None:
                return product
        return lambda x: functional.linear(x.to(weight.dtype), weight).float()
    return lambda x: functional.linear(x, weight)


def _float16_weights(weight: torch.Tensor) -> Product | None:
    """float32 arithmetic on weights kept as float16, where that loses nothing that matters.

    Checkpoints are published in bfloat16, whose numbers float16 holds exactly down to 2^-14, and
    to within 2^-25 below. Half the bytes, and FBGEMM's kernels stream them well: on two EPYC cores
    a frame's products take 0.4 ms where the plain product takes 3.5.
    """
    fits = weight.dtype == torch.float32 and (weight.half().float() - weight).abs().max() <= FINEST_HALF
    if not fits or not hasattr(torch, "fbgemm_linear_fp16_weight_fp32_activation"):
        return None
    with warnings.catch_warnings():
        # Marked as deprecated. torch's lasting route to the same kernels costs 10 us a call more,
        # a quarter of a frame; the day these go, oneDNN's packing takes over.
        warnings.simplefilter("ignore", UserWarning)
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight.contiguous())
        product = torch.fbgemm_linear_fp16_weight_fp32_activation
        product(weight.new_zeros(1, weight.shape[1]), packed, None)
    return lambda x: product(x, packed, None)


def _onednn(weight: torch.Tensor) -> Product | None:
    """The layout of oneDNN, for weights in float32 and bfloat16."""
    known = weight.dtype in (torch.float32, torch.bfloat16) and torch.backends.mkldnn.is_available()
    if not known or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return None
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 8)
    product = torch.ops.mkldnn._linear_pointwise.default
    dtype = weight.dtype
    return lambda x: product(x.to(dtype), packed, None, "none", [], "").float()
