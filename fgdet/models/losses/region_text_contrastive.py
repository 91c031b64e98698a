"""The region loss: every region against every region phrase of the batch.

Axes: R regions (and phrases), D embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgdet.models.layers.normalization import unit_rows
from fgdet.registry import MODELS


@MODELS.register_module()
class RegionTextContrastiveLoss(nn.Module):
    r"""Symmetric contrastive loss of regions and phrases, on each rank alone (FG-CLIP, arXiv 2505.05071, 3.2).

    With :math:`V` and :math:`T` the L2-normalised rows of the R regions and phrases, and :math:`f` the scale:

    .. math:: L = w \tfrac12 [ CE(f V T^\top, 0..R-1) + CE(f T V^\top, 0..R-1) ]

    Each cross-entropy is the mean over the R regions; without regions the loss is 0 and keeps its graph.

    Args:
        loss_weight: factor w; 0.1 in the paper.
    """

    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self, region_features: Tensor, text_features: Tensor, logit_scale: Tensor, text_labels: Tensor | None = None
    ) -> Tensor:
        """Loss of R matching pairs.

        Args:
            region_features: (R, D), need not be normalised; R may be 0.
            text_features: (R, D), row i describes region i.
            logit_scale: factor on the cosines, already exponentiated.
            text_labels: (R,) int; rows with equal labels hold the same phrase and are left out of each other's
                negatives. None counts equal phrases as negatives, as the official code does.

        Returns:
            Scalar.
        """
        if not len(region_features):
            return (region_features.sum() + text_features.sum() + logit_scale) * 0.0
        with torch.autocast(region_features.device.type, enabled=False):  # a product of scale 100 needs all its bits
            logits = logit_scale * unit_rows(region_features) @ unit_rows(text_features).T
        if text_labels is not None:
            same = text_labels[:, None] == text_labels[None]
            same.fill_diagonal_(False)
            logits = logits.masked_fill(same, float('-inf'))  # (R, R)
        target = torch.arange(len(logits), device=logits.device)
        return self.loss_weight * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
