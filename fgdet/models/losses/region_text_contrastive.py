"""The region loss: every region against every region phrase of the batch.

Axes: R regions (and phrases) of this rank, N ranks, D embedding.
"""

from torch import Tensor, nn

from fgdet.ops.contrastive import contrastive_sum
from fgdet.registry import MODELS
from fgdet.utils.dist import RowGather


@MODELS.register_module()
class RegionTextContrastiveLoss(nn.Module):
    r"""Symmetric contrastive loss of regions and phrases (FG-CLIP, arXiv 2505.05071, 3.2).

    With :math:`V` and :math:`T` the L2-normalised rows of the regions and phrases of all ranks, :math:`f` the scale and
    :math:`r` this rank's regions:

    .. math:: L_r = w \frac{N}{\sum R} \sum_{i \in r} \tfrac12 [ CE(f V_i T^\top, i) + CE(f T_i V^\top, i) ]

    The factor makes the mean over ranks the mean over all regions, whatever their number on each rank. A rank without
    regions has loss 0, keeps its graph and takes part in the gathering.

    Args:
        loss_weight: factor w; 0.1 in the paper.
        gather: negatives come from all ranks. False: from this rank alone, and the mean is over its regions
            (N = 1 above), as in the official code.
    """

    def __init__(self, loss_weight: float = 0.1, gather: bool = True) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.gather = gather

    def forward(
        self, region_features: Tensor, text_features: Tensor, logit_scale: Tensor, text_labels: Tensor | None = None
    ) -> Tensor:
        """Loss of R matching pairs.

        Args:
            region_features: (R, D), need not be normalised; R may be 0, and differ between ranks.
            text_features: (R, D), row i describes region i.
            logit_scale: factor on the cosines, already exponentiated.
            text_labels: (R,) int64, on all ranks or on none; equal labels, on other ranks too, mean equal phrases,
                which are left out of each other's negatives. None counts equal phrases as negatives, as the official
                code does.

        Returns:
            Scalar.
        """
        gather = RowGather(len(region_features), region_features.device, self.gather)
        labels = None if text_labels is None else gather(text_labels)
        regions, texts = gather(region_features), gather(text_features)
        return self.loss_weight * gather.mean_factor * contrastive_sum(regions, texts, logit_scale, labels, gather.own)
