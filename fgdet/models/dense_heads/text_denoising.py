"""DINO's denoising queries for classes that are words.

Axes: T boxes of all images, K names, N negative prompts, C width of a query, d dimension of an embedding.
"""

from typing import Any

import torch
from mmdet.models.layers import CdnQueryGenerator
from torch import Tensor, nn

from fgdet.registry import MODELS


@MODELS.register_module()
class TextCdnQueryGenerator(CdnQueryGenerator):
    """mmdet's contrastive denoising queries (DINO, arXiv 2203.03605, section 3.3) without a table of classes.

    mmdet learns one content vector a class, which fixes the vocabulary. Here the content of a query is ``q + W e_k``: a
    learned vector q for all, and the projected embedding of its noisy label k. No weight belongs to a class, and what
    the decoder learns to do with one name's query it can do with another's. Wrong labels are drawn among the trained
    classes.

    Args:
        embed_dim: dimension d of a class embedding.
        embed_dims: width C of a query; set by the detector.
        num_matching_queries: queries that are no denoising queries; set by the detector.
        label_noise_scale: twice the share of labels that are drawn anew, 0..2.
        box_noise_scale: how far a corner is moved, in half sides; the negative queries' corners up to twice as far.
        group_cfg: mmdet's ``dynamic`` with ``num_dn_queries``, or ``num_groups``.
    """

    class_embeddings: Tensor
    is_trained: Tensor

    def __init__(
        self,
        embed_dim: int,
        embed_dims: int,
        num_matching_queries: int,
        label_noise_scale: float = 0.5,
        box_noise_scale: float = 1.0,
        group_cfg: dict[str, Any] | None = None,
    ) -> None:
        # mmdet's table gets one row, q.
        super().__init__(1, embed_dims, num_matching_queries, label_noise_scale, box_noise_scale, group_cfg)
        self.class_projection = nn.Linear(embed_dim, embed_dims, bias=False)
        self.register_buffer('class_embeddings', torch.empty(0, embed_dim), persistent=False)
        self.register_buffer('is_trained', torch.empty(0, dtype=torch.bool), persistent=False)

    def set_classes(self, class_embeddings: Tensor, is_trained: Tensor, num_negatives: int = 0) -> None:
        """Take the classes of the following calls, see :class:`fgdet.models.detectors.open_vocabulary.TakesClasses`.

        Args:
            class_embeddings: (K + N, d), of length 1.
            is_trained: (K + N,) bool, True for a class with boxes in training.
            num_negatives: N, which are never trained and so never drawn.
        """
        self.class_embeddings = class_embeddings
        self.is_trained = is_trained.to(class_embeddings.device)

    def generate_dn_label_query(self, gt_labels: Tensor, num_groups: int) -> Tensor:
        """Contents of the queries, group by group, in each the positives and then the negatives.

        Args:
            gt_labels: (T,) in 0..K - 1.
            num_groups: groups of queries.

        Returns:
            (2 * ``num_groups`` * T, C) float32.
        """
        labels = gt_labels.repeat(2 * num_groups)
        trained = self.is_trained.nonzero()[:, 0]
        drawn = trained[torch.randint_like(labels, len(trained))]
        noisy = torch.where(torch.rand_like(labels, dtype=torch.float32) < self.label_noise_scale / 2, drawn, labels)
        content = self.label_embedding.weight + self.class_projection(self.class_embeddings[noisy])
        return content.float()  # mmdet copies it into a float32 tensor, under autocast too
