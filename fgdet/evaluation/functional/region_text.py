"""Scores of image, region and text features: arrays in, numbers out.

One count is behind them all: how many wrong answers a query likes at least as much as its best right one. A tie with a
wrong answer thus counts against the match, and so does a similarity that is no number; equal labels are all right.

Axes: Q queries, C candidates, B images, R regions, K classes, M regions with groups, T their texts, D embedding.
"""

import numpy as np

from fgdet.evaluation.functional.ranking import count_wrong_ahead, recall_at

Array = np.ndarray


def retrieval_ranks(image_features: Array, text_features: Array, text_labels: Array | None = None) -> dict[str, Array]:
    """Wrong answers ahead when images look for their texts, and texts for their images.

    Equal texts are one candidate for an image, and all images of a text are right answers to it.

    Args:
        image_features: (B, D), L2-normalised.
        text_features: (B, D), row i belongs to image i.
        text_labels: (B,) int, the same for equal texts; None where all differ.

    Returns:
        ``image_to_text`` and ``text_to_image``, each (B,); see :func:`count_wrong_ahead`.
    """
    labels = np.arange(len(text_features)) if text_labels is None else text_labels
    distinct, first = np.unique(labels, return_index=True)
    return dict(
        image_to_text=count_wrong_ahead(image_features, text_features[first], labels, distinct),
        text_to_image=count_wrong_ahead(text_features, image_features, labels, labels),
    )


def retrieval_recall(
    image_features: Array, text_features: Array, k: int = 1, text_labels: Array | None = None
) -> dict[str, float]:
    """Share of images whose own text is among their k most similar ones, and the other way round.

    Args:
        image_features: (B, D), L2-normalised, B at least 1.
        text_features: (B, D), row i belongs to image i.
        k: how many candidates count.
        text_labels: as for :func:`retrieval_ranks`.

    Returns:
        ``image_to_text`` and ``text_to_image`` in 0..1.
    """
    ranks = retrieval_ranks(image_features, text_features, text_labels)
    return {direction: recall_at(ahead, [k])[0] for direction, ahead in ranks.items()}


def classification_accuracy(region_features: Array, class_features: Array, labels: Array, k: int = 1) -> float:
    """Share of regions whose class is among the k most similar ones.

    Args:
        region_features: (R, D), L2-normalised, R at least 1.
        class_features: (K, D), L2-normalised.
        labels: (R,) int in 0..K-1.
        k: how many candidates count.
    """
    ahead = count_wrong_ahead(region_features, class_features, labels, np.arange(len(class_features)))
    return recall_at(ahead, [k])[0]


def wins_over_negatives(region_features: Array, text_features: Array, group_sizes: Array) -> Array:
    """Which regions are more similar to their own phrase than to each of its negatives.

    Args:
        region_features: (M, D), L2-normalised; M may be 0.
        text_features: (T, D), L2-normalised, group after group, each group's matching phrase first.
        group_sizes: (M,) int, texts in each group; they sum to T.

    Returns:
        (M,) bool.
    """
    ends = np.cumsum(group_sizes)
    wins = [
        bool((scores[1:] < scores[0]).all())
        for region, begin, end in zip(region_features, ends - group_sizes, ends, strict=True)
        for scores in [text_features[begin:end] @ region]
    ]
    return np.array(wins, dtype=bool)


def hard_negative_accuracy(region_features: Array, text_features: Array, group_sizes: Array) -> float:
    """Share of :func:`wins_over_negatives`, M at least 1."""
    return float(wins_over_negatives(region_features, text_features, group_sizes).mean())
