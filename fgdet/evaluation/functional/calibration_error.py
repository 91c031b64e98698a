"""Whether scores of detections are probabilities of being right, and from which score on to believe them.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2: reliability diagrams and
the expected calibration error. A detection is right when it is matched with an object of its class at an overlap of
0.5; what the evaluator ignores is left out.

Axis letters: N detections, B bins, K classes, I images, G objects.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fgdet.evaluation.functional.detection_matches import Matches
from fgdet.utils.checks import UserError

#: As many bins as Guo et al. have.
NUM_BINS = 15


class Reliability(NamedTuple):
    """B bins of scores; a bin holds what is above its lower and up to its upper edge, the first one 0 too."""

    edges: np.ndarray  # (B + 1,) from 0 to 1
    counts: np.ndarray  # (B,) detections, by weight
    confidence: np.ndarray  # (B,) mean score, NaN in an empty bin
    accuracy: np.ndarray  # (B,) share that is right, NaN in an empty bin

    def expected_error(self) -> float:
        """``sum_b n_b / N |accuracy_b - confidence_b|`` (equation 3); NaN without detections."""
        total = self.counts.sum()
        return float(np.nansum(self.counts * np.abs(self.accuracy - self.confidence)) / total) if total else np.nan

    def largest_error(self) -> float:
        """``max_b |accuracy_b - confidence_b|`` (equation 4); NaN without detections."""
        return float(np.nanmax(np.abs(self.accuracy - self.confidence))) if self.counts.sum() else np.nan


class Threshold(NamedTuple):
    """What a limit on the score does: detections with this score or a better one stay."""

    score: float
    f1: float
    precision: float
    recall: float


def equal_width_edges(num_bins: int = NUM_BINS) -> np.ndarray:
    """(B + 1,) edges of bins of one width, as Guo et al. have them."""
    return np.linspace(0.0, 1.0, num_bins + 1)


def equal_mass_edges(scores: np.ndarray, num_bins: int = NUM_BINS) -> np.ndarray:
    """(B + 1,) edges of bins of one number of detections (Nixon et al., "Measuring Calibration in Deep Learning", CVPR
    workshops 2019, section 3.2); many equal scores fall into one bin, and leave others empty."""
    inner = np.quantile(scores, np.linspace(0.0, 1.0, num_bins + 1)[1:-1]) if len(scores) else np.zeros(num_bins - 1)
    return np.concatenate([[0.0], inner, [1.0]])


def reliability(scores: np.ndarray, right: np.ndarray, edges: np.ndarray) -> Reliability:
    """Sort detections into bins.

    Args:
        scores: (N,) in 0..1.
        right: (N,) bool.
        edges: (B + 1,) ascending from 0 to 1.

    Raises:
        UserError: a score outside 0..1.
    """
    check_scores(scores)
    return _reliability(_bins(scores, edges), edges, scores, right, np.ones(len(scores)))


def expected_calibration_error(scores: np.ndarray, right: np.ndarray, num_bins: int = NUM_BINS) -> float:
    """:meth:`Reliability.expected_error` of (N,) scores and (N,) bool in bins of equal width."""
    return reliability(scores, right, equal_width_edges(num_bins)).expected_error()


def check_scores(scores: np.ndarray) -> None:
    """Raise UserError unless all scores are in 0..1."""
    wrong = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if len(wrong):
        raise UserError(f'predictions: calibration needs scores in 0..1, got {scores[wrong[0]]}')


def best_threshold(scores: np.ndarray, right: np.ndarray, num_objects: int) -> Threshold:
    """The score from which on F1, the harmonic mean of precision and recall, is best.

    ``F1 = 2 right / (kept + objects)``. Detections of equal score pass a limit together; of limits with an equal F1
    the highest is taken, which keeps fewest.

    Args:
        scores: (N,).
        right: (N,) bool.
        num_objects: G, what could be found.

    Returns:
        What the limit does; its score is NaN, and the rest 0, where no detection is right.
    """
    if not right.any():
        return Threshold(float('nan'), 0.0, 0.0, 0.0)
    order = np.argsort(-scores, kind='stable')
    scores, found = scores[order], np.cumsum(right[order])
    kept = np.arange(1, len(scores) + 1)
    f1 = np.where(np.append(np.diff(scores) != 0, True), 2 * found / (kept + num_objects), -1.0)
    best = int(f1.argmax())
    precision, recall = found[best] / kept[best], found[best] / num_objects
    return Threshold(float(scores[best]), float(f1[best]), float(precision), float(recall))


class Judged(NamedTuple):
    """Detections that are right or wrong, and the objects that could be found."""

    scores: np.ndarray  # (N,)
    right: np.ndarray  # (N,) bool
    classes: np.ndarray  # (N,)
    images: np.ndarray  # (N,)
    object_images: np.ndarray  # (G,)
    num_objects: np.ndarray  # (K,) of each class


def judged_detections(matches: Matches, min_score: float = 0.0) -> Judged:
    """Take what counts at an overlap of 0.5 and has at least this score.

    Raises:
        UserError: a score outside 0..1.
    """
    check_scores(matches.scores)
    counted = ~matches.ignored[0] & (matches.scores >= min_score)
    num_objects = np.bincount(matches.object_classes, minlength=len(matches.category_ids))
    return Judged(
        matches.scores[counted],
        matches.right[0][counted],
        matches.classes[counted],
        matches.images[counted],
        matches.object_images,
        num_objects,
    )


def class_thresholds(judged: Judged, min_objects: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the score from which on F1 is best: (K,) of all detections together, and (K,) of each class's own.

    Args:
        judged: the detections.
        min_objects: a class with fewer objects takes the common one, as its own would be a matter of chance; so does a
            class of which nothing was found.

    Returns:
        The common one, the same for all classes, and each class's; NaN where no detection is right.
    """
    number = len(judged.num_objects)
    common = np.full(number, best_threshold(judged.scores, judged.right, int(judged.num_objects.sum())).score)
    own = common.copy()
    order = np.argsort(judged.classes, kind='stable')
    ends = np.searchsorted(judged.classes[order], np.arange(number + 1))
    for index in np.flatnonzero(judged.num_objects >= max(min_objects, 1)):
        mine = order[ends[index] : ends[index + 1]]
        limit = best_threshold(judged.scores[mine], judged.right[mine], int(judged.num_objects[index]))
        own[index] = common[index] if np.isnan(limit.score) else limit.score
    return common, own


def class_f1(judged: Judged, limits: np.ndarray) -> np.ndarray:
    """(K,) F1 of each class's detections from its limit on, (K,); NaN for a class without objects."""
    kept = judged.scores >= limits[judged.classes]
    number = len(judged.num_objects)
    num_kept, found = (np.bincount(judged.classes[each], minlength=number) for each in (kept, kept & judged.right))
    return np.where(judged.num_objects > 0, 2 * found / np.maximum(num_kept + judged.num_objects, 1), np.nan)


def threshold_vocabulary(thresholds: Mapping[str, float]) -> dict[str, Any]:
    """What a vocabulary file says that has these names with these limits, and leaves the rest open.

    Raises:
        UserError: there are none, as no detection is right.
    """
    if not thresholds or np.isnan(list(thresholds.values())).any():
        raise UserError('thresholds: no detection is right, so there is nothing to choose them by')
    return {'names': list(thresholds), 'thresholds': dict(thresholds)}


class Calibration(NamedTuple):
    """What there is to say of the scores of a data set's detections."""

    judged: Judged
    limits: np.ndarray  # (K,) the score from which on F1 of the class is best, see class_thresholds; NaN: none
    resampler: 'CalibrationResampler'
    scores: dict[str, float]


def measure_calibration(
    matches: Matches, num_bins: int = NUM_BINS, min_score: float = 0.0, min_objects: int = 10
) -> Calibration:
    """Calibration errors of detections, and the limits of the best F1.

    Args:
        matches: of the data set.
        num_bins: B.
        min_score: detections below are not looked at.
        min_objects: a class with fewer takes the common limit.

    Returns:
        with the scores of :meth:`CalibrationResampler.scores` under the limits ``common`` and ``own``, the common
        ``threshold``, ``num_detections`` and ``num_objects``.

    Raises:
        UserError: a score outside 0..1.
    """
    judged = judged_detections(matches, min_score)
    common, own = class_thresholds(judged, min_objects)
    resampler = CalibrationResampler(judged, matches.image_ids, num_bins, {'common': common, 'own': own})
    threshold = float(common[0]) if len(common) else float('nan')
    scores = resampler.scores(np.ones(len(matches.image_ids))) | {'threshold': threshold}
    scores |= {'num_detections': len(judged.scores), 'num_objects': len(judged.object_images)}
    return Calibration(judged, own, resampler, scores)


class CalibrationResampler:
    """Calibration of any draw of the images, in the bins of the whole data set.

    Args:
        judged: the detections.
        image_ids: (I,) what ``judged.images`` index.
        num_bins: B.
        limits: (K,) score from which on detections of a class are kept, by the name in the results; NaN keeps none.
    """

    def __init__(
        self,
        judged: Judged,
        image_ids: np.ndarray,
        num_bins: int = NUM_BINS,
        limits: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.image_ids = image_ids
        self._judged = judged
        self._kept = {name: judged.scores >= limit[judged.classes] for name, limit in (limits or {}).items()}
        self._edges = equal_width_edges(num_bins), equal_mass_edges(judged.scores, num_bins)
        self._bins = [_bins(judged.scores, edges) for edges in self._edges]
        self._cells = judged.classes * num_bins + self._bins[0]

    def scores(self, weights: np.ndarray) -> dict[str, float]:
        """Return the calibration with image i counted ``weights[i]`` times, (I,); NaN where there is no detection.

        ``ece`` and ``mce``, the expected and the largest error over bins of equal width; ``class_ece``, the mean of the
        classes' own expected errors, of those with a detection; ``equal_mass_ece``; and for each of ``limits`` its
        ``<name>_f1, <name>_precision, <name>_recall`` over all detections.
        """
        judged, of_image = self._judged, np.asarray(weights, dtype=np.float64)
        each = of_image[judged.images]  # (N,)
        of_width, of_mass = (
            _reliability(bins, edges, judged.scores, judged.right, each)
            for bins, edges in zip(self._bins, self._edges, strict=True)
        )
        errors = self._class_errors(each)
        result = {
            'ece': of_width.expected_error(),
            'class_ece': float(errors[~np.isnan(errors)].mean()) if each.any() else float('nan'),
            'equal_mass_ece': of_mass.expected_error(),
            'mce': of_width.largest_error(),
        }
        num_objects = float(of_image[judged.object_images].sum())
        for name, kept in self._kept.items():
            found, num_kept = float(each[kept & judged.right].sum()), float(each[kept].sum())
            result[f'{name}_f1'] = _ratio(2 * found, num_kept + num_objects)
            result[f'{name}_precision'] = _ratio(found, num_kept)
            result[f'{name}_recall'] = _ratio(found, num_objects)
        return result

    def class_errors(self) -> np.ndarray:
        """(K,) the expected error of each class's detections; NaN for a class without one."""
        return self._class_errors(np.ones(len(self._judged.scores)))

    def _class_errors(self, weights: np.ndarray) -> np.ndarray:
        shape = len(self._judged.num_objects), len(self._edges[0]) - 1
        gaps = np.bincount(self._cells, weights * (self._judged.right - self._judged.scores), shape[0] * shape[1])
        total = np.bincount(self._judged.classes, weights, shape[0])
        return np.divide(np.abs(gaps.reshape(shape)).sum(axis=1), total, out=np.full(shape[0], np.nan), where=total > 0)


def _reliability(
    bins: np.ndarray, edges: np.ndarray, scores: np.ndarray, right: np.ndarray, weights: np.ndarray
) -> Reliability:
    counts, sums, found = (
        np.bincount(bins, each, len(edges) - 1) for each in (weights, weights * scores, weights * right)
    )
    empty = counts == 0
    return Reliability(edges, counts, *(np.where(empty, np.nan, each / (counts + empty)) for each in (sums, found)))


def _bins(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(N,) the bin of each score."""
    return np.searchsorted(edges[1:-1], scores, side='left')


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float('nan')
