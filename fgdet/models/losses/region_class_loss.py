"""What losses of region classes have in common that know how often a class has boxes.

Axes: R regions, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgdet.structures.lvis_split import LVIS_V1_BASE, LVIS_V1_IMAGE_COUNTS
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json

#: Counts that have a name: LVIS v1's training images of all 1,203 classes, and of the 866 that are no rare ones.
KNOWN_COUNTS: dict[str, dict[str, int]] = {
    'lvis_v1': LVIS_V1_IMAGE_COUNTS,
    'lvis_v1_base': {name: LVIS_V1_IMAGE_COUNTS[name] for name in LVIS_V1_BASE},
}


def class_counts(counts: Mapping[str, int] | str, names: Sequence[str] | None = None) -> Tensor:
    """How often each class occurs in training, (K,) float32.

    Args:
        counts: training images by class name, ``'lvis_v1'``, ``'lvis_v1_base'``, or a JSON file of such a dict.
        names: the K classes in order; None: those of ``counts``. Counts of further names are left out.

    Raises:
        UserError: a name has no count, a count is no positive number, or there is no such file.
    """
    table: Any = counts
    if isinstance(counts, str):
        table = KNOWN_COUNTS.get(counts) or read_json(counts, f'class counts ({", ".join(KNOWN_COUNTS)} or a file)')
    if not isinstance(table, Mapping) or not table:
        raise UserError(f'class counts: expected a dict of name to training images, got {table!r:.60}')
    names = list(table) if names is None else names
    missing = [name for name in names if name not in table]
    if missing:
        shown = ', '.join(map(repr, missing[:5])) + (' ...' if len(missing) > 5 else '')
        raise UserError(f'class counts: {len(missing)} of the {len(names)} names have none: {shown}')
    for name in names:
        if not isinstance(table[name], int | float) or not table[name] > 0:
            raise UserError(f'class counts of {name!r}: expected a number above 0, got {table[name]!r}')
    return torch.tensor([float(table[name]) for name in names])


class RegionClassLoss(nn.Module):
    """Loss of logits and integer labels, summed over regions and divided by their number.

    Args:
        counts: see :func:`class_counts`.
        names: the K classes of the columns in order; for a head over words, the base names in the vocabulary's order.
            None: those of ``counts``.
        loss_weight: factor.

    Raises:
        UserError: the counts do not fit the names.
    """

    counts: Tensor

    def __init__(
        self, counts: Mapping[str, int] | str, names: Sequence[str] | None = None, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.register_buffer('counts', class_counts(counts, names), persistent=False)
        self.loss_weight = loss_weight

    def num_columns(self) -> int:
        """Columns that the logits must have."""
        return len(self.counts)

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(R, columns) and (R,) in 0..K -> the loss of each region, (R,)."""
        raise NotImplementedError

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of R regions.

        Args:
            logits: (R, K), with a softmax (R, K + 1); R may be 0.
            labels: (R,) int64 in 0..K, K for the background.
            weight: (R,) factors; None: 1.
            avg_factor: what the sum is divided by; None: R, or 1 for no regions.
            reduction_override: ``'none'`` for the loss of each region, ``'sum'``; None or ``'mean'`` as above.

        Returns:
            Scalar, or (R,).

        Raises:
            ValueError: the logits have another number of columns than the loss has classes, or the reduction is
                unknown.
        """
        if logits.shape[1] != self.num_columns():
            raise ValueError(
                f'{type(self).__name__}: counts of {len(self.counts)} classes go with {self.num_columns()} columns of '
                f'logits, got {logits.shape[1]}; names must be those that are trained, in the order of the vocabulary'
            )
        if reduction_override not in (None, 'none', 'mean', 'sum'):
            raise ValueError(f'reduction_override: expected none, mean, sum or None, got {reduction_override!r}')
        rows = self.loss_weight * self.row_losses(logits, labels)  # (R,)
        if weight is not None:
            rows = rows * weight
        if reduction_override == 'none':
            return rows
        divisor = max(len(rows), 1) if avg_factor is None else avg_factor
        return rows.sum() if reduction_override == 'sum' else rows.sum() / divisor

    def binary_cross_entropies(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(R, K) and (R,) in 0..K -> (R, K); a region of background is wrong for every class."""
        targets = F.one_hot(labels, logits.shape[1] + 1)[:, :-1]  # (R, K)
        return F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction='none')
