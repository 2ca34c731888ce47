"""Linear: products with fixed weights, packed once for the machine they run on.

On the CPU two things decide. Weights are read once a frame and used for one row or a few, so the
bytes read are the time. And a row must come out with the same bits whether it stands alone or in a
batch: the plain product does not give that, since MKL sums one row in another order than four.
The packed products below do, for every number of rows tried (tests/test_decoder.py).
"""

import warnings
from collections.abc import Callable

import torch
from torch.nn import functional

Product = Callable[[torch.Tensor], torch.Tensor]  # [M, in] -> [M, out]

FINEST_HALF = 2.0**-25  # half the distance of the smallest float16 numbers


class Linear:
    """A product with fixed weights [out, in]."""

    def __init__(self, weight: torch.Tensor) -> None:
        """Pack `weight`; the tensor given is not kept, except on a GPU."""
        self._fused = weight.device.type != "cpu"
        self._weight = weight if self._fused else None
        self._product = _product(weight)

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
    """The layout of oneDNN, for float32 and bfloat16."""
    known = weight.dtype in (torch.float32, torch.bfloat16) and torch.backends.mkldnn.is_available()
    if not known or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return None
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 8)
    product = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: product(x, packed, None, "none", [], "")
