"""Multi-head self-attention on torch's scaled-dot-product kernel.

Axes: N sequences, L tokens, D width, H heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection to queries, keys and values.

    Args:
        width: channels D of a token.
        num_heads: heads H; D must be a multiple of it.

    Raises:
        ValueError: ``width`` is not a multiple of ``num_heads``.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f'width must be a multiple of num_heads, got width={width} and num_heads={num_heads}')
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        """Mix tokens: ``x`` (N, L, D) -> (N, L, D). With ``causal`` a token sees itself and those before it."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # 3 x (N, H, L, D/H)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(2))  # (N, L, D)

    def forward_values(self, x: Tensor) -> Tensor:
        """Project values and output without mixing tokens: each token attends to itself alone. (N, L, D) -> same."""
        width = x.shape[-1]
        values = F.linear(x, self.qkv.weight[2 * width :], self.qkv.bias[2 * width :])
        return self.out(values)


def scaled_init_(attention: SelfAttention, num_layers: int) -> None:
    """Initialise as CLIP does: std D^-1/2 for q, k, v and (2 L D)^-1/2 for the output, zero biases.

    Source: OpenAI CLIP (arXiv 2103.00020, section 2.5 follows GPT-2, whose residual projections shrink with depth L).
    """
    width = attention.out.in_features
    nn.init.normal_(attention.qkv.weight, std=width**-0.5)
    nn.init.normal_(attention.out.weight, std=width**-0.5 * (2 * num_layers) ** -0.5)
    with torch.no_grad():
        attention.qkv.bias.zero_()
        attention.out.bias.zero_()
