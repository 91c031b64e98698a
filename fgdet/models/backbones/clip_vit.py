"""FG-CLIP's image tower as the backbone of a detector.

Axes: B images, H x W pixels, h x w patches, D width, d dimension shared with the text tower.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from fgdet.checkpoints.loading import load_tower
from fgdet.models.encoders.vision_transformer import VisionTransformer
from fgdet.registry import MODELS


@MODELS.register_module()
class CLIPViTBackbone(BaseModule):
    """Block taps for a pyramid and the dense map for region scores, from one pass through the image tower.

    The recipe of F-ViT (CLIPSelf, arXiv 2310.01403, section 4): the tower stays as it was pretrained, so that its dense
    map keeps the open vocabulary, and the detector learns on top of it.

    Args:
        vision: arguments of :class:`~fgdet.models.encoders.vision_transformer.VisionTransformer`.
        out_indices: blocks that are tapped, 0 for the first, in the order of the outputs.
        checkpoint: FG-CLIP or CLIP weights that :meth:`init_weights` loads (see :func:`fgdet.checkpoints.loading`).
            They are not needed to build the model, nor to load a detector's own checkpoint.
        frozen: the tower takes no gradient and stays in eval mode.
        init_cfg: as for :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: a tapped block does not exist.
    """

    def __init__(
        self,
        vision: dict[str, Any],
        out_indices: Sequence[int] = (3, 5, 7, 11),
        checkpoint: str | None = None,
        frozen: bool = True,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.visual = VisionTransformer(**vision)
        if not all(0 <= index < self.visual.num_layers for index in out_indices):
            last = self.visual.num_layers - 1
            raise ValueError(f'out_indices: expected blocks in 0..{last}, got {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        self.checkpoint = checkpoint
        self.frozen = frozen
        if frozen:
            self.visual.eval().requires_grad_(False)

    def init_weights(self) -> None:
        """Load the tower from ``checkpoint``, if one was given.

        Raises:
            UserError: nothing usable is there, or it was trained with another activation.
            RuntimeError: its sizes are not those of ``vision``; they are listed.
        """
        super().init_weights()
        if self.checkpoint is not None:
            self.visual.load_state_dict(load_tower(self.checkpoint, 'visual', self.visual.activation))

    def forward(self, pixels: Tensor, dense: bool = True) -> tuple[Tensor, ...]:
        """Taps, then the dense map.

        Args:
            pixels: (B, 3, H, W) normalised pixels; the patch size divides H and W.
            dense: whether the dense map is wanted; training has no use for it.

        Returns:
            one (B, D, h, w) for each of ``out_indices``, then, if it is wanted, the dense map (B, d, h, w).
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.visual.forward_intermediates(pixels, indices=self.out_indices, dense=dense)
        if features.dense is None:
            return tuple(features.intermediates)
        return (*features.intermediates, features.dense)

    def train(self, mode: bool = True) -> 'CLIPViTBackbone':
        """Set the mode of all but a frozen tower."""
        super().train(mode)
        if self.frozen:
            self.visual.eval()
        return self
