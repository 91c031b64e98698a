"""Half precision through float32, for kernels that lack it."""

import torch
from torch import Tensor


def widen(tensor: Tensor) -> Tensor:
    """``tensor`` in float32 where it is float16 or bfloat16, as it is otherwise.

    torchvision's CPU kernels have no bfloat16 and partly no float16, and sums over a region lose digits in either.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
