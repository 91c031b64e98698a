"""The pre-norm residual block of both towers.

Axes: N sequences, L tokens, D width.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from fgdet.models.layers.attention import SelfAttention, scaled_init_
from fgdet.models.layers.mlp import MLP

#: Layer-norm epsilon of CLIP's published weights.
LAYER_NORM_EPS = 1e-5


class TransformerBlock(nn.Module):
    """``u = x + attention(norm1(x));  y = u + mlp(norm2(u))``.

    Args:
        width: channels D of a token.
        num_heads: attention heads.
        mlp_width: hidden channels of the perceptron.
        activation: of the perceptron; see :class:`~fgdet.models.layers.mlp.MLP`.
    """

    def __init__(self, width: int, num_heads: int, mlp_width: int, activation: str = 'quick_gelu') -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attention = SelfAttention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = MLP(width, mlp_width, activation)

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        """(N, L, D) -> (N, L, D)."""
        x = x + self.attention(self.norm1(x), causal=causal)
        return x + self.mlp(self.norm2(x))

    def forward_windows(self, x: Tensor, size_hw: tuple[int, int], window: int) -> Tensor:
        """The block with attention within windows of a map, a class token before it: (N, 1 + h * w, D) -> same."""
        x = x + self.attention.forward_windows(self.norm1(x), size_hw, window)
        return x + self.mlp(self.norm2(x))

    def forward_without_attention(self, x: Tensor) -> Tensor:
        """The block with each token attending to itself alone, (N, L, D) -> same (FG-CLIP, arXiv 2505.05071, 3.2).

        Unlike MaskCLIP the residual and the perceptron stay.
        """
        x = x + self.attention.forward_values(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def forward_first(self, x: Tensor, others: bool = True, kept: Tensor | None = None) -> Tensor:
        """The first token attends to all, every other one to itself alone, as :meth:`forward_without_attention` tells.

        Args:
            x: (N, L, D).
            others: whether tokens beside the first ones are wanted.
            kept: (M,) the only tokens wanted, numbered through all N * L; None: all.

        Returns:
            (N, L, D); (N, 1, D) without the others; (M, D) of the kept ones.
        """
        mixed = self.attention.mix_first(self.norm1(x), others)
        x = x if others else x[:, :1]
        if kept is not None:
            x, mixed = F.embedding(kept, x.flatten(0, 1)), F.embedding(kept, mixed.flatten(0, 1))
        x = x + self.attention.out(mixed)
        return x + self.mlp(self.norm2(x))

    def forward_nodes(self, x: Tensor, attend: Callable[[Tensor], Tensor], rows: Tensor | None = None) -> Tensor:
        """The block on single tokens, of which ``attend`` knows who sees whom.

        Args:
            x: (N, D) tokens; or (P, D), with ``rows`` (N,) saying which of them each token is: then equal tokens are
                normalised and projected once.
            attend: attention, (N, 3 D) queries, keys and values -> (N, D).
            rows: None, or as above.

        Returns:
            (N, D).
        """
        qkv = self.attention.qkv(self.norm1(x))
        if rows is not None:
            qkv, x = F.embedding(rows, qkv), F.embedding(rows, x)
        x = x + self.attention.out(attend(qkv))
        return x + self.mlp(self.norm2(x))

    def forward_kept(self, x: Tensor, attend: Callable[[Tensor, Tensor], Tensor], kept: Tensor) -> Tensor:
        """As :meth:`forward_nodes`, for the tokens ``kept`` (U,) alone; the others are seen, but not computed.

        ``attend`` is (U, D) queries and (N, 2 D) keys and values -> (U, D).

        Returns:
            (U, D).
        """
        normed = self.norm1(x)
        queries = self.attention.queries(F.embedding(kept, normed))
        x = F.embedding(kept, x) + self.attention.out(attend(queries, self.attention.keys_values(normed)))
        return x + self.mlp(self.norm2(x))


def init_block_(block: TransformerBlock, num_layers: int) -> None:
    """Initialise as CLIP does; ``num_layers`` is the depth of the tower that the block stands in."""
    scaled_init_(block.attention, num_layers)
    width = block.norm1.normalized_shape[0]
    nn.init.normal_(block.mlp.fc1.weight, std=(2 * width) ** -0.5)
    nn.init.normal_(block.mlp.fc2.weight, std=width**-0.5 * (2 * num_layers) ** -0.5)
    nn.init.zeros_(block.mlp.fc1.bias)
    nn.init.zeros_(block.mlp.fc2.bias)
