"""8-bit weights: one scale for each output, the inputs as they are.

Half the bytes of bfloat16, and at batch 1 the bytes are the time. Activations are not quantised: a scale taken
over them all would let one row of a batch change the bits of another.
"""

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch.nn import functional

logger = logging.getLogger(__name__)

LARGEST = 127


def int8_product(whole: torch.Tensor, scales: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A product with weights [out, in] that `rounded` gave.

    Returns:
        [M, in] -> [M, out]: float32 on the CPU, else in the dtype of what is multiplied.
    """
    if whole.device.type == "cpu":
        # The kernel that reads 8-bit weights as they are wants the rest in bfloat16.
        return lambda x: torch._weight_int8pack_mm(x.bfloat16(), whole, scales).float()

    def product(x: torch.Tensor) -> torch.Tensor:
        # compiled when first needed: a step of own kernels never does
        return (_product_of_one_row(x.device) if len(x) == 1 else _unpacked_product)(x, whole, scales)

    return product


def rounded(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers -127 to 127, int8 [out, in], and what one of them is worth, bfloat16 [out]."""
    scales = (weight.abs().amax(1).float() / LARGEST).clamp(min=torch.finfo(torch.bfloat16).tiny).bfloat16()
    whole = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    for rows, kept, scale in zip(weight.split(1024), whole.split(1024), scales.split(1024), strict=True):
        # by the scale as it is kept, and a part at a time: float32 copies of whole matrices would be the peak
        kept.copy_((rows.float() / scale.float().unsqueeze(1)).round_().clamp_(-LARGEST, LARGEST))
    return whole, scales


def _unpacked_product(x: torch.Tensor, whole: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    return functional.linear(x, whole.to(x.dtype)) * scales


def _sum_of_one_row(x: torch.Tensor, whole: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    return ((x.float() * whole).sum(-1) * scales).to(x.dtype).unsqueeze(0)


@cache
def _product_of_one_row(device: torch.device) -> Callable[..., torch.Tensor]:
    """One row times 8-bit weights, compiled into one kernel that reads each weight once."""
    compiled = torch.compile(_sum_of_one_row, dynamic=False)
    try:
        compiled(
            torch.zeros(1, 64, dtype=torch.bfloat16, device=device),
            torch.zeros(64, 64, dtype=torch.int8, device=device),
            torch.zeros(64, dtype=torch.bfloat16, device=device),
        )
    except Exception as problem:  # whatever a compiler may lack
        logger.warning("8-bit weights cannot be compiled here (%s): slower than whole ones.", problem)
        return _unpacked_product
    return compiled
