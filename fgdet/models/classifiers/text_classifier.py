"""Cosine classifier over class embeddings that may change between two calls.

Axes: ... regions, queries or cells of any number of dimensions, C features of one, K classes, d dimension of an
embedding.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgdet.registry import MODELS

#: CLIP's bound on exp(logit_scale) (arXiv 2103.00020, section 2.5).
MAX_SCALE = 100.0


@MODELS.register_module()
class TextClassifier(nn.Module):
    """Logits ``s * cos(W x, e_k) + t`` for every class k; with a background ``s * cos(W x, b) + t`` in a last column.

    The projection W, the scale s = exp(logit_scale), the background embedding b and the bias t are learned; the class
    embeddings e are given by :meth:`set_classes`. As no weight belongs to a class, any number of classes may follow.

    Args:
        in_features: channels C of a region.
        embed_dim: dimension d of a class embedding.
        temperature: 1 / s at the start.
        background: a learned background competes with the classes, for a softmax over both. A sigmoid has none.
        bias: t at the start, below 0 where most regions hold nothing (SigLIP, arXiv 2303.15343, section 3.2); None: no
            bias, as it cancels in a softmax.
    """

    class_embeddings: Tensor

    def __init__(
        self,
        in_features: int,
        embed_dim: int,
        temperature: float = 0.02,
        background: bool = True,
        bias: float | None = None,
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(in_features, embed_dim)
        self.background_embedding = nn.Parameter(torch.empty(embed_dim)) if background else None
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))
        # No weights: the detector computes them from its vocabulary.
        self.register_buffer('class_embeddings', torch.empty(0, embed_dim), persistent=False)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        if self.background_embedding is not None:
            nn.init.normal_(self.background_embedding, std=embed_dim**-0.5)

    def set_classes(self, class_embeddings: Tensor, is_trained: Tensor | None = None) -> None:
        """Take the classes of the following calls.

        Args:
            class_embeddings: (K, d), of length 1.
            is_trained: (K,) bool, True for a class with boxes in training. A text classifier treats all alike; a
                :class:`~fgdet.models.classifiers.linear_classifier.LinearClassifier` does not.

        Raises:
            ValueError: K is 0 or d is not ``embed_dim``.
        """
        dimension = self.projection.out_features
        if class_embeddings.ndim != 2 or not len(class_embeddings) or class_embeddings.shape[1] != dimension:
            shape = tuple(class_embeddings.shape)
            raise ValueError(f'class_embeddings: expected (K, {dimension}) with K of at least 1, got {shape}')
        self.class_embeddings = class_embeddings.to(self.logit_scale)

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) -> (..., K), or (..., K + 1) with a background.

        The cosines are in full precision under autocast too, as the scale enlarges their rounding.

        Raises:
            ValueError: no classes were set.
        """
        if not self.class_embeddings.shape[0]:
            raise ValueError('the classifier has no classes yet; call set_classes first')
        projected = self.projection(features)
        with torch.autocast(features.device.type, enabled=False):
            regions = F.normalize(projected.to(self.logit_scale.dtype), dim=-1)  # (..., d)
            embeddings = self.class_embeddings
            if self.background_embedding is not None:
                background = F.normalize(self.background_embedding, dim=0)
                embeddings = torch.cat([embeddings, background[None]])  # (K + 1, d)
            logits = self.logit_scale.exp().clamp(max=MAX_SCALE) * regions @ embeddings.T
            return logits if self.bias is None else logits + self.bias
