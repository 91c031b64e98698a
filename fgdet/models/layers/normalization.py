"""Rows of length 1, for cosines."""

import torch
import torch.nn.functional as F
from torch import Tensor


def unit_rows(features: Tensor) -> Tensor:
    """Scale each row to length 1, in float32 at least: half precision would round a cosine to three digits.

    Args:
        features: (..., D) of any floating type; a zero row stays zero.

    Returns:
        The same shape, float32, or float64 where the input is.
    """
    return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)
