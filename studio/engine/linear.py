"""Linear: products with fixed weights, packed once for the machine they run on.

On the CPU what goes in and out is float32, whatever the weights are kept as. Two things decide there.
Weights are read once a frame and used for one row or a few, so the bytes read are the time. And a row must
come out with the same bits whether it stands alone or in a batch: the plain product does not give that, since
MKL sums one row in another order than four. The packed products below do, for every number of rows tried
(tests/test_linear.py).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from studio.engine import cpu_products
from studio.engine.int8 import int8_product, rounded
from studio.errors import BadSetting

Product = Callable[[torch.Tensor], torch.Tensor]  # [M, in] -> [M, out]

QUANTIZATIONS = ("none", "int8")


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
        self._outputs = len(weight)
        self.kept: tuple[torch.Tensor, torch.Tensor | None] | None = None  # on a GPU: weights, scales of 8-bit ones
        exact = weight.device.type == "cpu" and quantize == "none"
        self.packed: np.ndarray | None = cpu_products.packed(weight) if exact else None  # see cpu_products
        if self.packed is None:
            if weight.device.type != "cpu":
                self.kept = rounded(weight) if quantize == "int8" else (weight, None)
            if quantize == "int8":
                self._product = int8_product(*(self.kept or rounded(weight)))  # type: ignore[arg-type]
            else:
                self._product = _product(weight)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product. Shapes: [M, in] -> [M, out]."""
        if self.packed is not None:
            return cpu_products.product(x, self.packed, self._outputs)
        return self._product(x)

    def added_to(self, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The product added to `residual`, [M, out]."""
        if self._weight is not None:
            return torch.addmm(residual, x, self._weight.t())
        if self.packed is not None:
            return cpu_products.added_product(residual, x, self.packed)
        return self._product(x).add_(residual)


def _product(weight: torch.Tensor) -> Product:
    if weight.device.type == "cpu":
        in_layout = _onednn(weight)
        if in_layout is not None:
            return in_layout
        return lambda x: functional.linear(x.to(weight.dtype), weight).float()
    return lambda x: functional.linear(x, weight)


def _onednn(weight: torch.Tensor) -> Product | None:
    """The layout of oneDNN, for weights in float32 that bfloat16 does not hold."""
    known = weight.dtype in (torch.float32, torch.bfloat16) and torch.backends.mkldnn.is_available()
    if not known or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return None
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 8)
    product = torch.ops.mkldnn._linear_pointwise.default
    dtype = weight.dtype
    return lambda x: product(x.to(dtype), packed, None, "none", [], "").float()
