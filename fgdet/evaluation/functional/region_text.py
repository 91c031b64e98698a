"""Scores of image, region and text features: arrays in, numbers out.

Axes: B images, R regions, K classes, M regions with groups, T texts of all groups, D embedding.
"""

import numpy as np

Array = np.ndarray


def retrieval_recall(image_features: Array, text_features: Array, k: int = 1) -> dict[str, float]:
    """Share of images whose own text is among their k most similar ones, and the other way round.

    Args:
        image_features: (B, D), L2-normalised, B at least 1.
        text_features: (B, D), row i belongs to image i.
        k: how many candidates count.

    Returns:
        ``image_to_text`` and ``text_to_image`` in 0..1. A tie counts against the match.
    """
    similarity = image_features @ text_features.T  # (B, B)
    return dict(image_to_text=_diagonal_recall(similarity, k), text_to_image=_diagonal_recall(similarity.T, k))


def classification_accuracy(region_features: Array, class_features: Array, labels: Array, k: int = 1) -> float:
    """Share of regions whose class is among the k most similar ones; a tie counts against the class.

    Args:
        region_features: (R, D), L2-normalised, R at least 1.
        class_features: (K, D), L2-normalised.
        labels: (R,) int in 0..K-1.
        k: how many candidates count.
    """
    similarity = region_features @ class_features.T  # (R, K)
    own = similarity[np.arange(len(labels)), labels][:, None]
    return float(((similarity >= own).sum(1) <= k).mean())


def hard_negative_accuracy(region_features: Array, text_features: Array, group_sizes: Array) -> float:
    """Share of regions that are more similar to their own phrase than to each of its negatives.

    Args:
        region_features: (M, D), L2-normalised, M at least 1.
        text_features: (T, D), L2-normalised, group after group, each group's matching phrase first.
        group_sizes: (M,) int, texts in each group; they sum to T.
    """
    ends = np.cumsum(group_sizes)
    right = [
        (scores[1:] < scores[0]).all()
        for region, begin, end in zip(region_features, ends - group_sizes, ends, strict=True)
        for scores in [text_features[begin:end] @ region]
    ]
    return float(np.mean(right))


def _diagonal_recall(similarity: Array, k: int) -> float:
    own = np.diagonal(similarity)[:, None]
    return float(((similarity >= own).sum(1) <= k).mean())
