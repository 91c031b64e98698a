"""The global loss: every image against every text of the batch.

Axes: B images (and texts) of this rank, N ranks, D embedding.
"""

from torch import Tensor, nn

from fgdet.ops.contrastive import TILE_SIZE, contrastive_sum
from fgdet.registry import MODELS
from fgdet.utils.dist import RowGather


@MODELS.register_module()
class ImageTextContrastiveLoss(nn.Module):
    r"""Symmetric contrastive loss over all ranks (CLIP, arXiv 2103.00020, figure 3; FG-CLIP, arXiv 2505.05071, 3.1).

    With :math:`I` and :math:`T` the L2-normalised rows, :math:`s` the scale, :math:`r` this rank's rows and
    :math:`y` their places among all:

    .. math::
        L_r = w \frac{N}{\sum B} \sum_{i \in r} \tfrac12 [ CE(s I_i T_{all}^\top, y_i) + CE(s T_i I_{all}^\top, y_i) ]

    Each rank computes the rows of its own pairs only; the factor is 1 / B where all ranks have B pairs, and makes the
    mean over ranks the loss of the union. The logits are computed in tiles, so that memory grows with the number of
    pairs and not with its square.

    Args:
        loss_weight: factor w.
        tile_size: pairs along the side of a tile of logits; a batch of up to so many is one tile.
    """

    def __init__(self, loss_weight: float = 1.0, tile_size: int = TILE_SIZE) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.tile_size = tile_size

    def forward(
        self, image_features: Tensor, text_features: Tensor, logit_scale: Tensor, text_labels: Tensor | None = None
    ) -> Tensor:
        """Loss of B matching pairs.

        Args:
            image_features: (B, D), need not be normalised; B may differ between ranks.
            text_features: (B, D), row i belongs to image i.
            logit_scale: factor on the cosines, already exponentiated.
            text_labels: (B,) int64, on all ranks or on none; equal labels, on other ranks too, mean equal texts,
                which are left out of each other's negatives. None counts equal texts as negatives, as the official
                code does.

        Returns:
            Scalar.
        """
        gather = RowGather(len(image_features), image_features.device)
        labels = None if text_labels is None else gather(text_labels)
        images, texts = gather(image_features), gather(text_features)
        total = contrastive_sum(images, texts, logit_scale, labels, gather.own, self.tile_size)
        return self.loss_weight * gather.mean_factor * total
