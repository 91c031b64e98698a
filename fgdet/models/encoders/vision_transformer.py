"""CLIP's image tower with FG-CLIP's dense path.

Axes: B images, h x w patches, L = 1 + h * w tokens, D width, d output_dim.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fgdet.models.layers.transformer_block import LAYER_NORM_EPS, TransformerBlock, init_block_
from fgdet.registry import MODELS
from fgdet.utils.resampling import interpolate_grid


class VisionFeatures(NamedTuple):
    """What one pass through the image tower gives; parts that were not asked for are None or empty."""

    pooled: Tensor | None  # (B, d)
    dense: Tensor | None  # (B, d, h, w)
    intermediates: list[Tensor]  # each (B, D, h, w)


@MODELS.register_module()
class VisionTransformer(nn.Module):
    """Vision transformer of CLIP (arXiv 2103.00020) with the dense features of FG-CLIP (arXiv 2505.05071, 3.2).

    Args:
        image_size: side in pixels of the square image that the position table belongs to.
        patch_size: side P in pixels of a patch.
        width: channels D of a token.
        num_layers: transformer blocks.
        num_heads: attention heads.
        mlp_width: hidden channels of a block's perceptron.
        output_dim: channels d of the space shared with the text tower.
        gradient_checkpointing: keep only the blocks' inputs for the backward pass and compute the rest again.
        activation: ``quick_gelu`` as OpenAI's CLIP and FG-CLIP, or ``gelu`` as most of open_clip's own weights.
        window_size: side in patches of the windows in which attention stays, for inputs much larger than the native
            size (ViTDet, arXiv 2203.16527, section 3; 14 there); the class token sees and is seen by every patch, and
            windows at the border end where the map ends. None: attention is global everywhere. The weights are the
            same either way; the features are not, where the map is larger than a window.
        global_blocks: blocks whose attention stays global all the same, 0 for the first; None with windows: the last
            of each quarter of the blocks, as in ViTDet. The dense path has no attention in the last block anyway.

    Raises:
        ValueError: ``patch_size`` does not divide ``image_size``; the window is below 1, a global block does not exist,
            or global blocks are named without windows.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        width: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        mlp_width: int = 3072,
        output_dim: int = 512,
        gradient_checkpointing: bool = False,
        activation: str = 'quick_gelu',
        window_size: int | None = None,
        global_blocks: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f'patch_size must divide image_size, got image_size={image_size}, patch_size={patch_size}')
        if window_size is not None and window_size < 1:
            raise ValueError(f'window_size: expected at least 1 patch, or None for global attention, got {window_size}')
        if window_size is None and global_blocks is not None:
            raise ValueError('global_blocks: without window_size every block is global; leave it out, or give a window')
        self.image_size = image_size
        self.patch_size = patch_size
        self.width = width
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.mlp_width = mlp_width
        self.output_dim = output_dim
        self.gradient_checkpointing = gradient_checkpointing
        self.activation = activation
        self.window_size = window_size
        last_of_quarters = [(i + 1) * num_layers // 4 - 1 for i in range(4) if (i + 1) * num_layers >= 4]
        self.global_blocks = self._resolve(last_of_quarters if global_blocks is None else global_blocks)

        self.class_embedding = nn.Parameter(torch.empty(width))
        self.patch_embedding = nn.Conv2d(3, width, patch_size, stride=patch_size, bias=False)
        self.position_embedding = nn.Parameter(torch.empty(1 + (image_size // patch_size) ** 2, width))
        self.pre_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, num_heads, mlp_width, activation) for _ in range(num_layers)
        )
        self.post_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.projection = nn.Linear(width, output_dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, with CLIP's standard deviations."""
        nn.init.normal_(self.class_embedding, std=self.width**-0.5)
        nn.init.normal_(self.position_embedding, std=self.width**-0.5)
        nn.init.normal_(self.patch_embedding.weight, std=(3 * self.patch_size**2) ** -0.5)
        nn.init.normal_(self.projection.weight, std=self.width**-0.5)
        for block in self.blocks:
            init_block_(block, self.num_layers)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> Tensor:
        """Global image features.

        Args:
            pixels: (B, 3, H, W) normalised pixels, any H and W of at least one patch; what a patch does not fill at
                the right and bottom border is left out.

        Returns:
            (B, d), not normalised.
        """
        features = self.forward_intermediates(pixels, dense=False, pooled=True).pooled
        assert features is not None
        return features

    def forward_intermediates(
        self,
        pixels: Tensor,
        indices: Sequence[int] = (),
        dense: bool = True,
        pooled: bool = False,
        patches: Tensor | None = None,
    ) -> VisionFeatures:
        """Pooled, dense and intermediate features from one pass.

        Args:
            pixels: (B, 3, H, W) as for :meth:`forward`.
            indices: blocks whose outputs are wanted, 0 for the first; negative ones count from the last.
            dense: whether the dense map is wanted: the last block without attention, on all patch tokens.
            pooled: whether the global feature is wanted.
            patches: (B, h, w) bool, the only patches whose dense features are wanted, the others being zero; for
                ``dense`` and ``pooled`` together. On the CPU it saves waiting for another device. None: all.

        Returns:
            :class:`VisionFeatures`; intermediates in the order of ``indices``.

        Raises:
            ValueError: an index is out of range.
        """
        wanted = self._resolve(indices)
        tokens, size_hw = self.embed(pixels)
        outputs: dict[int, Tensor] = {}
        last = self.num_layers - 1
        for i in range(last if dense or pooled else min(last, max(wanted, default=-1) + 1)):
            tokens = self.run_block(i, tokens, size_hw)
            if i in wanted:
                outputs[i] = tokens
        if last in wanted:
            outputs[last] = self.run_block(last, tokens, size_hw)
        features = self._last(tokens, dense, pooled, patches) if dense or pooled else tokens
        return VisionFeatures(
            pooled=features[:, 0] if pooled else None,
            dense=tokens_to_map(features[:, int(pooled) :], size_hw) if dense else None,
            intermediates=[tokens_to_map(outputs[i][:, 1:], size_hw) for i in wanted],
        )

    def embed(self, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens that enter the first block, (B, L, D), and their grid (h, w)."""
        patches = self.patch_embedding(pixels)  # (B, D, h, w)
        size_hw = (patches.shape[-2], patches.shape[-1])
        class_token = self.class_embedding.to(patches.dtype).expand(patches.shape[0], 1, -1)
        tokens = torch.cat([class_token, patches.flatten(2).transpose(1, 2)], dim=1)  # (B, L, D)
        return self.pre_norm(tokens + interpolate_grid(self.position_embedding, size_hw)), size_hw

    def run_block(
        self, index: int, tokens: Tensor, size_hw: tuple[int, int], block: TransformerBlock | None = None
    ) -> Tensor:
        """Block ``index`` on tokens of a grid (h, w), or another block in its place: (B, L, D) -> same."""
        module = self.blocks[index] if block is None else block
        if self.window_size is None or index in self.global_blocks:
            return self._run(module, tokens)
        if not torch.compiler.is_exporting() and self.window_size >= max(size_hw):  # a graph is for maps of any size
            return self._run(module, tokens)
        return self._run(module.forward_windows, tokens, size_hw, self.window_size)

    def dense_map(self, tokens: Tensor, size_hw: tuple[int, int], block: TransformerBlock | None = None) -> Tensor:
        """The dense map (B, d, h, w) of the tokens (B, L, D) that enter the last block, or another in its place."""
        module = self.blocks[-1] if block is None else block
        patches = self._run(module.forward_without_attention, tokens[:, 1:])
        return tokens_to_map(self.projection(self.post_norm(patches)), size_hw)

    def _last(self, tokens: Tensor, dense: bool, pooled: bool, patches: Tensor | None) -> Tensor:
        """The last block and the projection for the tokens that are needed: class token, patches, or both, in order.

        Only the class token's attention reaches the pooled feature, and none the dense ones.
        """
        block = self.blocks[-1]
        kept = None
        if pooled and dense and patches is not None:
            wanted = F.pad(patches.flatten(1), (1, 0), value=True)  # (B, L)
            kept = wanted.flatten().nonzero()[:, 0].to(tokens.device)  # (M,)
        size = tokens.shape[:2]
        if pooled:
            tokens = self._run(block.forward_first, tokens, dense, kept)
        elif dense:
            tokens = self._run(block.forward_without_attention, tokens[:, 1:])
        features = self.projection(self.post_norm(tokens))  # (B, L, d) or (M, d)
        if kept is None:
            return features
        return features.new_zeros(size.numel(), features.shape[1]).index_copy(0, kept, features).unflatten(0, size)

    def _run(self, function: Any, *inputs: Any) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(function, *inputs, use_reentrant=False)
        return function(*inputs)

    def _resolve(self, indices: Sequence[int]) -> list[int]:
        for i in indices:
            if not -self.num_layers <= i < self.num_layers:
                raise ValueError(f'block index {i} is out of range for {self.num_layers} blocks')
        return [i % self.num_layers for i in indices]


def tokens_to_map(tokens: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Tokens row by row as a map, not copied."""
    return tokens.transpose(1, 2).unflatten(2, size_hw)  # (B, h * w, C) -> (B, C, h, w)
