"""Classification of images by the texts of classes (CLIP, arXiv 2103.00020, section 3.1): the best classes, and scores.

A tie with a wrong class counts against the right one. Only the best classes of an image are kept, and scores are made
of these alone: so saved predictions give the same scores as the features they came from.

Axes: N images, K classes, D embedding, k classes kept.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fgdet.evaluation.functional.retrieval import unit_rows
from fgdet.utils.checks import UserError

Array = np.ndarray
#: Classes kept of an image.
NUM_KEPT = 5
_IMAGES_AT_ONCE = 4096


class BestClasses(NamedTuple):
    """The classes an image is most like, the best first; fewer than k where the last ones tie with others."""

    classes: Array  # (n,) int64, n <= k
    scores: Array  # (n,) float64 cosine similarities, descending


def best_classes(image_features: Array, class_features: Array, kept: int = NUM_KEPT) -> list[BestClasses]:
    """The most similar classes of each image.

    Classes that tie over the last place are left out together, as it cannot be said which of them is among the best.

    Args:
        image_features: (N, D); they are normalised here. A row that is no number, or zero, gets no class.
        class_features: (K, D); the same, all of them numbers.
        kept: k.
    """
    distinct, column = np.unique(unit_rows(class_features), axis=0, return_inverse=True)  # equal texts tie exactly
    found = []
    for start in range(0, len(image_features), _IMAGES_AT_ONCE):
        images = unit_rows(image_features[start : start + _IMAGES_AT_ONCE])
        with np.errstate(invalid='ignore'):
            similarity = images.astype(np.float64) @ distinct.astype(np.float64).T
        for row in similarity[:, column.reshape(-1)]:  # (K,)
            found.append(_best(row, kept) if np.isfinite(row).all() else BestClasses(np.empty(0, int), np.empty(0)))
    return found


def _best(scores: Array, kept: int) -> BestClasses:
    """The best of one image's scores (K,)."""
    if len(scores) > kept:
        candidates = np.sort(np.argpartition(-scores, kept)[: kept + 1])
        order = candidates[np.argsort(-scores[candidates], kind='stable')]
        order = order[scores[order] > scores[order[-1]]]  # beaten by fewer than k + 1 in all
    else:
        order = np.argsort(-scores, kind='stable')
    return BestClasses(order.astype(np.int64), scores[order])


def wrong_ahead(best: Sequence[BestClasses], labels: Array) -> Array:
    """Wrong classes that each image likes at least as much as its own.

    Args:
        best: N of :func:`best_classes`.
        labels: (N,) int in 0..K-1.

    Returns:
        (N,) int64, more than any k where its own is not among the best.
    """
    counts = np.full(len(best), np.iinfo(np.int64).max)
    for row, (each, label) in enumerate(zip(best, labels, strict=True)):
        own = np.flatnonzero(each.classes == label)
        if len(own):
            counts[row] = np.count_nonzero(each.scores >= each.scores[own[0]]) - 1
    return counts


class ZeroShotScores:
    """Top-1, top-5 and the mean of the classes' top-1, of weighted images; a ``Resampler`` of evaluations.

    Args:
        ahead: (N,) of :func:`wrong_ahead`.
        labels: (N,) int in 0..K-1.
        num_classes: K.
        image_names: (N,), what is drawn.

    Raises:
        UserError: there is no image, or fewer than two classes.
    """

    def __init__(self, ahead: Array, labels: Array, num_classes: int, image_names: Sequence[str]) -> None:
        if not len(ahead) or num_classes < 2:
            raise UserError(
                f'classification: expected images and at least two classes to tell apart, got {len(ahead)} images and '
                f'{num_classes} classes'
            )
        self.image_ids = np.array(image_names)
        self._hits = {f'top{k}': ahead < k for k in (1, NUM_KEPT)}
        self._labels, self._num_classes = labels, num_classes

    def scores(self, weights: Array | None = None) -> dict[str, float]:
        """``top1``, ``top5`` and ``mean_per_class`` in 0..1, image i counted ``weights[i]`` times; None: all once."""
        weights = np.ones(len(self._labels)) if weights is None else weights
        result = {name: float(np.average(hits, weights=weights)) for name, hits in self._hits.items()}
        shares, sums = self._by_class('top1', weights)
        return result | {'mean_per_class': float(shares[sums > 0].mean())}

    def classes(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """One row a class, of its K ``names``: ``name``, ``num_objects`` images, ``top1`` and ``top5``."""
        ones = np.ones(len(self._labels))
        columns = {name: self._by_class(name, ones) for name in self._hits}
        return [
            {'name': name, 'num_objects': int(columns['top1'][1][row])}
            | {score: float(shares[row]) for score, (shares, _) in columns.items()}
            for row, name in enumerate(names)
        ]

    def _by_class(self, name: str, weights: Array) -> tuple[Array, Array]:
        """(K,) shares of the images that are right, NaN without images, and (K,) weights of them."""
        sums = np.bincount(self._labels, weights, self._num_classes)
        right = np.bincount(self._labels, weights * self._hits[name], self._num_classes)
        return np.divide(right, sums, out=np.full(self._num_classes, np.nan), where=sums > 0), sums
