"""The two-layer perceptron of a transformer block, with CLIP's activation."""

import torch.nn.functional as F
from torch import Tensor, nn


def quick_gelu(x: Tensor) -> Tensor:
    """Sigmoid approximation of GELU, ``x * sigmoid(1.702 x)`` (Hendrycks and Gimpel, arXiv 1606.08415, section 2)."""
    return F.silu(1.702 * x).mul_(1 / 1.702)  # one sigmoid kernel forward and one backward


class MLP(nn.Module):
    """``fc2(quick_gelu(fc1(x)))`` on the last axis.

    Args:
        width: channels in and out.
        hidden_width: channels between the two layers.
    """

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden_width)
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(quick_gelu(self.fc1(x)))
