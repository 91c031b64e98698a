"""Multi-head self-attention on torch's scaled-dot-product kernel.

Axes: N sequences, L tokens, D width, H heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgdet.ops.window_attention import masked_window_attention, window_attention


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
        q, k, v = self._heads(x)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(2))  # (N, L, D)

    def forward_windows(self, x: Tensor, size_hw: tuple[int, int], window: int) -> Tensor:
        """Mix a class token and a map within windows, (N, 1 + h * w, D) -> same.

        See :func:`~fgdet.ops.window_attention.window_attention`.
        """
        q, k, v = self._heads(x)
        attend = masked_window_attention if torch.compiler.is_exporting() else window_attention
        mixed = attend(q, k, v, size_hw, window)
        return self.out(mixed.transpose(1, 2).flatten(2))  # (N, L, D)

    def queries(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), heads side by side."""
        return self._project(x, 0, 1)

    def keys_values(self, x: Tensor) -> Tensor:
        """Keys, then values: (..., D) -> (..., 2 D), heads side by side in each half."""
        return self._project(x, 1, 3)

    def forward_values(self, x: Tensor) -> Tensor:
        """Project values and output without mixing tokens: each token attends to itself alone. (N, L, D) -> same."""
        return self.out(self._project(x, 2, 3))

    def mix_first(self, x: Tensor, others: bool = True) -> Tensor:
        """The first token attends to all tokens, every other one to itself alone; before the output projection.

        (N, L, D) -> (N, L, D), or (N, 1, D) without the others.
        """
        k, v = self.keys_values(x).chunk(2, dim=-1)
        heads = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (self.queries(x[:, :1]), k, v))
        first = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)  # (N, 1, D)
        return torch.cat([first, v[:, 1:]], dim=1) if others else first

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (N, H, L, D/H)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _project(self, x: Tensor, start: int, stop: int) -> Tensor:
        part = slice(start * x.shape[-1], stop * x.shape[-1])
        return F.linear(x, self.qkv.weight[part], self.qkv.bias[part])


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
