"""The hard-negative loss: every region against its own phrase and the phrases that miss it by one attribute.

Axes: M regions of this rank, T texts of all groups together, N ranks, D embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgdet.models.layers.normalization import unit_rows
from fgdet.registry import MODELS
from fgdet.utils.dist import RowGather


@MODELS.register_module()
class HardNegativeLoss(nn.Module):
    r"""Cross-entropy of each region over its own group of phrases (FG-CLIP, arXiv 2505.05071, 3.2).

    With :math:`v_m` a region, :math:`t_{m,0}` its phrase, :math:`t_{m,j>0}` its negatives, all L2-normalised, and
    :math:`h` the scale, and :math:`m` this rank's regions:

    .. math::
        L = \frac{wN}{\sum M} \sum_m [\log \sum_j \exp(h \langle v_m, t_{m,j} \rangle) - h \langle v_m, t_{m,0} \rangle]

    The mean is over regions, so that a region with few negatives weighs as much as one with many; the mean of the
    ranks' losses is that over the regions of all ranks. Without regions the loss is 0 and keeps its graph.

    Args:
        loss_weight: factor w; 0.5 in the paper.
        gather: take the mean over all ranks' regions. False: over this rank's (N = 1 above), as in the official code.
    """

    def __init__(self, loss_weight: float = 0.5, gather: bool = True) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.gather = gather

    def forward(
        self, region_features: Tensor, text_features: Tensor, group_sizes: Tensor, logit_scale: Tensor
    ) -> Tensor:
        """Loss of M regions, each with a group of any size.

        Args:
            region_features: (M, D), need not be normalised; M may be 0.
            text_features: (T, D), group after group, each group's matching phrase first.
            group_sizes: (M,) int64, texts in each region's group, at least 1; they sum to T.
            logit_scale: factor on the cosines, already exponentiated.

        Returns:
            Scalar.

        Raises:
            ValueError: the group sizes do not add up to T, or one is below 1.
        """
        if int(group_sizes.sum()) != len(text_features) or bool((group_sizes < 1).any()):
            raise ValueError(
                f'group_sizes must be at least 1 each and sum to the {len(text_features)} texts, '
                f'got {group_sizes.tolist()}'
            )
        factor = self.loss_weight * RowGather(len(region_features), region_features.device, self.gather).mean_factor
        if not len(region_features):
            return (region_features.sum() + text_features.sum() + logit_scale) * 0.0
        regions, texts = unit_rows(region_features), unit_rows(text_features)
        owner = torch.repeat_interleave(torch.arange(len(regions), device=regions.device), group_sizes)  # (T,)
        cosines = (regions[owner] * texts).sum(-1)  # (T,)
        first = group_sizes.cumsum(0) - group_sizes
        column = torch.arange(len(texts), device=regions.device) - first[owner]
        logits = cosines.new_full((len(regions), int(group_sizes.max())), float('-inf'))
        logits = logits.index_put((owner, column), logit_scale * cosines)  # (M, largest group)
        return factor * F.cross_entropy(logits, group_sizes.new_zeros(len(regions)), reduction='sum')
