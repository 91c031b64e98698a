"""The two-layer perceptron of a transformer block, with the activations of published CLIPs."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

#: Of OpenAI's CLIP; see :func:`quick_gelu`.
QUICK_GELU_SCALE = 1.702


def quick_gelu(x: Tensor) -> Tensor:
    """Sigmoid approximation of GELU, ``x * sigmoid(1.702 x)`` (Hendrycks and Gimpel, arXiv 1606.08415, section 2)."""
    return F.silu(QUICK_GELU_SCALE * x).mul_(1 / QUICK_GELU_SCALE)  # one sigmoid kernel forward and one backward


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
        if self.activation == 'quick_gelu' and x.numel() > x.shape[-1] ** 2:
            # Its two factors on the weights: from as many tokens as channels on, that saves passes over hidden values.
            hidden = F.linear(x, QUICK_GELU_SCALE * self.fc1.weight, QUICK_GELU_SCALE * self.fc1.bias)
            return F.linear(F.silu(hidden), self.fc2.weight * (1 / QUICK_GELU_SCALE), self.fc2.bias)
        return self.fc2(ACTIVATIONS[self.activation](self.fc1(x)))
