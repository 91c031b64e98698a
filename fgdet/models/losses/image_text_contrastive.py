"""The global loss: every image against every text of the batch.

Axes: B images (and texts) of this rank, N ranks, D embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgdet.models.layers.normalization import unit_rows
from fgdet.registry import MODELS
from fgdet.utils.dist import gather_features, rank


@MODELS.register_module()
class ImageTextContrastiveLoss(nn.Module):
    r"""Symmetric contrastive loss over all ranks (CLIP, arXiv 2103.00020, figure 3; FG-CLIP, arXiv 2505.05071, 3.1).

    With :math:`I` and :math:`T` the L2-normalised rows, :math:`s` the scale and :math:`y_i = rB + i` on rank r:

    .. math:: L = w \tfrac12 [ CE(s I T_{all}^\top, y) + CE(s T I_{all}^\top, y) ]

    Each cross-entropy is the mean over the B rows of this rank, so that the mean over ranks is the loss of the union.

    Args:
        loss_weight: factor w.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, image_features: Tensor, text_features: Tensor, logit_scale: Tensor) -> Tensor:
        """Loss of B matching pairs.

        Args:
            image_features: (B, D), need not be normalised; the same B on every rank.
            text_features: (B, D), row i belongs to image i.
            logit_scale: factor on the cosines, already exponentiated.

        Returns:
            Scalar.
        """
        image_features, text_features = unit_rows(image_features), unit_rows(text_features)
        target = rank() * len(image_features) + torch.arange(len(image_features), device=image_features.device)
        with torch.autocast(image_features.device.type, enabled=False):  # a product of scale 100 needs all its bits
            image_logits = logit_scale * image_features @ gather_features(text_features).T  # (B, N * B)
            text_logits = logit_scale * text_features @ gather_features(image_features).T  # (B, N * B)
        loss = (F.cross_entropy(image_logits, target) + F.cross_entropy(text_logits, target)) / 2
        return self.loss_weight * loss
