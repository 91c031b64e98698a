"""The pre-norm residual block of both towers.

Axes: N sequences, L tokens, D width.
"""

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

    def forward_without_attention(self, x: Tensor) -> Tensor:
        """The block with each token attending to itself alone, (N, L, D) -> same (FG-CLIP, arXiv 2505.05071, 3.2).

        Unlike MaskCLIP the residual and the perceptron stay.
        """
        x = x + self.attention.forward_values(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def init_block_(block: TransformerBlock, num_layers: int) -> None:
    """Initialise as CLIP does; ``num_layers`` is the depth of the tower that the block stands in."""
    scaled_init_(block.attention, num_layers)
    width = block.norm1.normalized_shape[0]
    nn.init.normal_(block.mlp.fc1.weight, std=(2 * width) ** -0.5)
    nn.init.normal_(block.mlp.fc2.weight, std=width**-0.5 * (2 * num_layers) ** -0.5)
    nn.init.zeros_(block.mlp.fc1.bias)
    nn.init.zeros_(block.mlp.fc2.bias)
