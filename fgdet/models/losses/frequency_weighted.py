"""Cross-entropy in which rare classes weigh more.

Axes: R regions, K classes.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fgdet.models.losses.region_class_loss import RegionClassLoss
from fgdet.registry import MODELS


@MODELS.register_module()
class FrequencyWeightedLoss(RegionClassLoss):
    r"""Cross-entropy with a weight for each class, :math:`v_k \propto n_k^{-p}` of its training images :math:`n_k`.

    The weights' mean over the K classes is 1; the background weighs 1. Classes that are not trained have none, as they
    do not reach the loss. For a softmax over the classes and the background, and for sigmoids,

    .. math:: L = \frac{w}{R} \sum_i v_{y_i} CE(x_i, y_i), \qquad
        L = \frac{w}{R} \sum_i \sum_k v_k BCE(x_{ik}, [y_i = k])

    The sum is divided by the regions, as each has one class.

    Args:
        counts: see :class:`~fgdet.models.losses.region_class_loss.RegionClassLoss`.
        names: the same.
        use_sigmoid: which of the two.
        power: p; 0 weighs all alike, 1 by the inverse of the count.
        loss_weight: factor w.
    """

    weights: Tensor

    def __init__(
        self,
        counts: Mapping[str, int] | str,
        names: Sequence[str] | None = None,
        use_sigmoid: bool = False,
        power: float = 0.5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(counts, names, loss_weight)
        self.use_sigmoid = use_sigmoid
        weights = self.counts.pow(-power)
        self.register_buffer('weights', weights / weights.mean(), persistent=False)  # (K,)

    def num_columns(self) -> int:
        """K, and one more for the background of a softmax."""
        return len(self.counts) + int(not self.use_sigmoid)

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(R, K) or (R, K + 1), and (R,) -> (R,)."""
        if self.use_sigmoid:
            return (self.binary_cross_entropies(logits, labels) * self.weights).sum(
                dim=1
            )  # no product of half precision
        weights = torch.cat([self.weights, self.weights.new_ones(1)])  # (K + 1,)
        return F.cross_entropy(logits, labels, reduction='none') * weights[labels]
