"""The federated loss: a sigmoid of a few classes at a time, for data in which most classes are not looked for.

Axes: R regions, K classes.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fgdet.models.losses.region_class_loss import RegionClassLoss
from fgdet.registry import MODELS


@MODELS.register_module()
class FederatedLoss(RegionClassLoss):
    r"""Binary cross-entropy over the classes of the batch and some drawn ones (Zhou et al., arXiv 2103.07461, 5.4).

    In LVIS an image is annotated for some classes only (Gupta et al., arXiv 1908.03195, section 2), so that a region
    without a box may well be of another class. With :math:`S` the classes that label a region of the batch, and others
    drawn without replacement with probability :math:`\propto n_k^{p}` of the training images :math:`n_k` until there
    are ``num_sampled``, all others have no loss:

    .. math:: L = \frac{w}{R} \sum_i \sum_{k \in S} BCE(x_{ik}, [y_i = k])

    The sum is divided by the regions, as each has at most one positive class.

    Args:
        counts: see :class:`~fgdet.models.losses.region_class_loss.RegionClassLoss`.
        names: the same.
        num_sampled: size of S, 50 in the paper; S is larger where the batch has more classes.
        power: p, 0.5 in the paper.
        loss_weight: factor w.
    """

    use_sigmoid = True

    def __init__(
        self,
        counts: Mapping[str, int] | str,
        names: Sequence[str] | None = None,
        num_sampled: int = 50,
        power: float = 0.5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(counts, names, loss_weight)
        self.num_sampled = num_sampled
        self.power = power

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(R, K) and (R,) -> (R,)."""
        chosen = self.choose_classes(labels)
        return self.binary_cross_entropies(logits, labels)[:, chosen].sum(dim=1)

    def choose_classes(self, labels: Tensor) -> Tensor:
        """Indices of S for labels (R,) in 0..K: those of the batch, then the drawn ones."""
        present = labels[labels < len(self.counts)].unique()
        num_drawn = min(self.num_sampled, len(self.counts)) - len(present)
        if num_drawn <= 0:
            return present
        probability = self.counts.pow(self.power).index_fill(0, present, 0.0)
        return torch.cat([present, probability.multinomial(num_drawn)])
