"""A plain linear classifier in the place of the one over words: what a closed set of classes costs.

Axes: ... regions, queries or cells of any number of dimensions, C features of one, K classes, d dimension of an
embedding.
"""

import torch
from torch import Tensor, nn

from fgdet.registry import MODELS
from fgdet.utils.checks import UserError

#: Logit of a class without boxes in training: 0 after a sigmoid or a softmax, in half precision too, and unlike minus
#: infinity without NaN in a binary cross-entropy.
UNTRAINED_LOGIT = -1e4
#: Sums that stand for an embedding; one alone would be the same for some two of 65 random names.
KEY_PARTS = 8


@MODELS.register_module()
class LinearClassifier(nn.Module):
    """``W x + b``: one learned row for each class, the ablation of
    :class:`~fgdet.models.classifiers.text_classifier.TextClassifier`, which it replaces by config.

    The words of a class play no part, so only the names of the training can be looked for, in their order, without
    negative prompts; anything else is refused. The rows of classes without boxes in training never learn. What they say
    would be noise, so these classes get a probability of 0 and are never reported, as in any detector of a closed set;
    but with a score ensemble whose ``beta`` is 1, which does not ask the detector at all.

    Args:
        in_features: channels C of a region.
        num_classes: K, names of the training vocabulary, base and novel.
        background: one more row for the background, for a softmax over both. A sigmoid has none.
        bias: b at the start, below 0 where most regions hold nothing; None: 0.
    """

    class_embeddings: Tensor
    is_untrained: Tensor
    class_keys: Tensor

    def __init__(self, in_features: int, num_classes: int, background: bool = True, bias: float | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.linear = nn.Linear(in_features, num_classes + int(background))
        self.register_buffer('class_embeddings', torch.empty(0), persistent=False)
        self.register_buffer('is_untrained', torch.zeros(num_classes + int(background), dtype=torch.bool), False)
        # Sums of parts of each embedding: by them a checkpoint knows its names again. NaN: none were given yet.
        self.register_buffer('class_keys', torch.full((num_classes, KEY_PARTS), torch.nan))
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.constant_(self.linear.bias, bias or 0.0)

    def set_classes(self, class_embeddings: Tensor, is_trained: Tensor | None = None) -> None:
        """Check that the classes are those of the training.

        Args:
            class_embeddings: (K, d), of length 1.
            is_trained: (K,) bool, True for a class with boxes in training; None: all have.

        Raises:
            UserError: another number of classes, or others than at the first call, be it before the checkpoint was
                written.
        """
        if len(class_embeddings) != self.num_classes:
            raise UserError(
                f'LinearClassifier num_classes: expected the {self.num_classes} names of the training vocabulary and '
                f'no negative prompts, got {len(class_embeddings)}; other names need a TextClassifier'
            )
        parts = class_embeddings.tensor_split(KEY_PARTS, dim=1)
        keys = torch.stack([part.sum(dim=1) for part in parts], dim=1).to(self.class_keys)  # (K, KEY_PARTS)
        if self.class_keys.isnan().any():
            self.class_keys.copy_(keys)
        changed = ((keys - self.class_keys).abs() > 0.01).any(dim=1)  # rounding on another device is far below
        if changed.any():
            raise UserError(
                f'LinearClassifier: {int(changed.sum())} of the {self.num_classes} names differ from those of the '
                'training or stand in another order; other names need a TextClassifier'
            )
        self.class_embeddings = class_embeddings.to(self.linear.weight)
        if is_trained is not None:
            self.is_untrained[: self.num_classes] = ~is_trained.to(self.is_untrained.device)

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) -> (..., K), or (..., K + 1) with a background."""
        return self.linear(features).masked_fill(self.is_untrained, UNTRAINED_LOGIT)
