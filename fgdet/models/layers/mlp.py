"""The two-layer perceptron of a transformer block, with the activations of published CLIPs."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


def quick_gelu(x: Tensor) -> Tensor:
    """Sigmoid approximation of GELU, ``x * sigmoid(1.702 x)`` (Hendrycks and Gimpel, arXiv 1606.08415, section 2)."""
    return F.silu(1.702 * x).mul_(1 / 1.702)  # one sigmoid kernel forward and one backward


#: OpenAI's CLIP and FG-CLIP were trained with the first, most of open_clip's own weights with the second (exact).
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {'quick_gelu': quick_gelu, 'gelu': F.gelu}


class MLP(nn.Module):
    """``fc2(activation(fc1(x)))`` on the last axis.

    Args:
        width: channels in and out.
        hidden_width: channels between the two layers.
        activation: one of ``ACTIVATIONS``.

    Raises:
        ValueError: the activation is unknown.
    """

    def __init__(self, width: int, hidden_width: int, activation: str = 'quick_gelu') -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f'activation must be one of {", ".join(ACTIVATIONS)}, got {activation!r}')
        self.activation = activation
        self.fc1 = nn.Linear(width, hidden_width)
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(ACTIVATIONS[self.activation](self.fc1(x)))
