"""What the trained classifier says of a region, joined with what the frozen tower says of it.

Axes: R regions, K classes, d dimension of an embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def region_probabilities(region_features: Tensor, class_embeddings: Tensor, temperature: float) -> Tensor:
    """Softmax over the vocabulary of the cosine between a region of the dense map and each class.

    There is no background column: a frozen tower has no embedding for "nothing of these".

    Args:
        region_features: (R, d), of any length; a row of zeros gives equal probabilities.
        class_embeddings: (K, d), of length 1.
        temperature: what the cosines are divided by; CLIP's own is 0.01, where its training's bound stops it.

    Returns:
        (R, K) float32, every row sums to 1.
    """
    cosine = F.normalize(region_features.float(), dim=1) @ class_embeddings.float().T
    return (cosine / temperature).softmax(dim=1)


def ensemble_scores(
    detector_probabilities: Tensor, region_probabilities: Tensor, is_base: Tensor, alpha: float, beta: float
) -> Tensor:
    """Geometric mean with one weight for base and one for novel classes (F-VLM, arXiv 2209.15639, section 3).

    ``p^(1 - alpha) q^alpha`` for a base and ``p^(1 - beta) q^beta`` for a novel class. The detector was trained on base
    classes alone, so novel ones trust it less: beta above alpha.

    Args:
        detector_probabilities: p, (R, K) in 0..1. The background is among what p was normalised over, but has no
            column, so that a region of background is low in all K columns.
        region_probabilities: q, (R, K) in 0..1.
        is_base: (K,) bool.
        alpha: weight of q for base classes, 0..1.
        beta: weight of q for novel classes, 0..1.

    Returns:
        (R, K) in 0..1.
    """
    weight = torch.where(is_base, alpha, beta).to(detector_probabilities)  # (K,)
    return detector_probabilities.pow(1 - weight) * region_probabilities.pow(weight)
