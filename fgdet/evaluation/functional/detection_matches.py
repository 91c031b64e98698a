"""Which detections are right, at ten overlaps, and the average precision of any draw of the images.

What a detection matches depends on the better ones of its class in its image alone. So it is found once, and a data
set in which images stand several times or not at all is scored without matching again.

Axis letters: I images, K classes, M counted detections, G objects that count, T overlaps, S pairs of an overlap and a
class with a right detection, E right detections of all overlaps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fgdet.evaluation.functional.coco_detection import ids_of, mean_of_known
from fgdet.evaluation.functional.coco_evaluator import AREAS, evaluator_of, masks_and_areas
from fgdet.evaluation.functional.ground_truth import GroundTruth
from fgdet.evaluation.functional.lvis_detection import best_of_each
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import as_table

#: Overlaps from which on a detection is right: 0.5, 0.55 ... 0.95.
NUM_OVERLAPS = 10

#: What is averaged over overlaps: the positions of AP50, of AP75, of AP and of AR, the largest recall.
MEASURES = {'ap50': (0,), 'ap75': (5,), 'ap': tuple(range(NUM_OVERLAPS)), 'ar': tuple(range(NUM_OVERLAPS))}

#: COCO's ranges of area in square pixels: objects beyond are ignored, and detections beyond where they match nothing.
AREA_RANGES = dict(zip(AREAS, ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10)), strict=True))

#: Pairs of an image and a class that are matched at once: the evaluator's account of one takes some 10 kilobytes.
_PAIRS_AT_ONCE = 20_000

_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, eq=False)
class Matches:
    """The M detections that count, class by class, the best first; of equal ones in the evaluator's order.

    Args:
        rows: (M,) row of each in the table of predictions.
        images: (M,) index into ``image_ids``.
        classes: (M,) index into ``category_ids``.
        scores: (M,).
        right: (T, M) bool, at overlaps of 0.5, 0.55 ... 0.95: matched with an object that counts.
        ignored: (T, M) bool: neither right nor wrong, such as what lies on a crowd.
        image_ids: (I,) all images, ascending.
        category_ids: (K,).
        object_images: (G,) index into ``image_ids``, of the objects that can be found: crowds are left out.
        object_classes: (G,) index into ``category_ids``.
    """

    rows: np.ndarray
    images: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    image_ids: np.ndarray
    category_ids: np.ndarray
    object_images: np.ndarray
    object_classes: np.ndarray


def match_detections(
    annotations: dict[str, Any],
    predictions: ResultTable | Sequence[dict[str, Any]],
    category_ids: Sequence[int],
    iou_type: str = 'bbox',
    max_detections: int = 100,
    lvis_style: bool = False,
    area: str = 'all',
) -> Matches:
    """Match detections with objects, as COCO's evaluator does.

    Args:
        annotations: a COCO-form or LVIS dict. It is not changed.
        predictions: a table, or a COCO result list; other categories than the wanted ones are left out.
        category_ids: the K categories, in the order of the result.
        iou_type: overlap of boxes (``'bbox'``) or of masks (``'segm'``).
        max_detections: how many of a class count in an image. LVIS's limit, 300 over all classes of an image, is the
            caller's to apply.
        lvis_style: leave out a detection of a class that is neither in the image nor among its ``neg_category_ids``,
            and ignore one that matches nothing of a class of its ``not_exhaustive_category_ids``.
        area: one of ``AREA_RANGES``: the objects that count.

    Raises:
        UserError: a prediction is malformed or of an unknown id, or an object or a prediction has no mask where
            masks are compared, or one of another size than its image.
    """
    table = as_table(predictions, *ids_of(annotations), iou_type)
    truth = GroundTruth.from_annotations(annotations, category_ids, iou_type, lvis_style)
    images, classes = truth.places(table)  # (N,)
    areas = table.boxes[:, 2:].prod(axis=1) if iou_type == 'bbox' else masks_and_areas(table, truth.sizes[images])[1]
    counted, incomplete = classes >= 0, np.zeros((len(truth.image_ids), len(truth.category_ids)), dtype=bool)
    if lvis_style:  # lvis-api does not see what has no area
        counted &= truth.judged()[images, classes] & (areas > 0)
        incomplete[truth.incomplete[:, 0], truth.incomplete[:, 1]] = True

    rows = np.flatnonzero(counted)
    pairs = images[rows] * len(truth.category_ids) + classes[rows]
    rows = rows[best_of_each(pairs, table.scores[rows], max_detections)]
    rows = rows[np.lexsort((rows, images[rows], -table.scores[rows], classes[rows]))]
    images, classes, areas = images[rows], classes[rows], areas[rows]
    smallest, largest = AREA_RANGES[area]
    right, ignored = _match(truth, table.select(rows), images, classes, max_detections, area)
    ignored |= ~right & (incomplete[images, classes] | (areas < smallest) | (areas > largest))
    found = ~truth.crowds & (truth.areas >= smallest) & (truth.areas <= largest)
    return Matches(
        rows,
        images,
        classes,
        table.scores[rows],
        right,
        ignored,
        truth.image_ids,
        truth.category_ids,
        truth.images[found],
        truth.classes[found],
    )


class AveragePrecisionResampler:
    """Average precisions and recalls of a data set with each image counted a number of times: a ``Resampler``.

    Copies of an image stand side by side: of detections of equal class and score, all copies of one come before those
    of the next, by image and then by row. Without such equals within one image, the scores are those of the data set
    with its images written out so often; with all weights 1 they are always the evaluator's.

    Args:
        make_matches: gives the matches for one of ``AREA_RANGES``; called once for each, by the first :meth:`scores`.
        image_ids: (I,) ids of all images, in any order; ``weights`` follow them in ascending order, as
            ``self.image_ids`` has them.
        groups: (K,) bool for each group of classes.
        names: what to return: for each name the group, one of ``ap50, ap75, ap, ar`` and one of ``AREA_RANGES``.

    Raises:
        ValueError: a name of an unknown group, measure or range.
    """

    def __init__(
        self,
        make_matches: Callable[[str], Matches],
        image_ids: Sequence[int] | np.ndarray,
        groups: Mapping[str, np.ndarray],
        names: Mapping[str, tuple[str, str, str]],
    ) -> None:
        for name, (group, measure, area) in names.items():
            if group not in groups or measure not in MEASURES or area not in AREA_RANGES:
                raise ValueError(
                    f'{name}: expected a group of {", ".join(groups)}, a measure of {", ".join(MEASURES)} and an area '
                    f'of {", ".join(AREA_RANGES)}, got {group!r}, {measure!r}, {area!r}'
                )
        self.image_ids = np.unique(np.asarray(image_ids, dtype=np.int64))
        self._make_matches, self._groups, self._names = make_matches, dict(groups), dict(names)

    def scores(self, weights: np.ndarray) -> dict[str, float]:
        """Return the scores with image i counted ``weights[i]`` times, (I,) int; NaN for a group without objects."""
        of_area = {area: table.measure(weights) for area, table in self._tables.items()}
        scores = {}
        for name, (group, measure, area) in self._names.items():
            precisions, recalls = of_area[area]
            values = recalls if measure == 'ar' else precisions  # (T, K)
            scores[name] = mean_of_known(values[list(MEASURES[measure])][:, self._groups[group]])
        return scores

    @cached_property
    def _tables(self) -> dict[str, 'RightDetections']:
        return {area: self._table(area) for area in dict.fromkeys(area for *_, area in self._names.values())}

    def _table(self, area: str) -> 'RightDetections':
        matches = self._make_matches(area)
        if not np.array_equal(matches.image_ids, self.image_ids):
            raise ValueError(f'{len(matches.image_ids)} images matched, {len(self.image_ids)} expected')
        return RightDetections(matches)


class RightDetections:
    """Weighted average precision: only right detections are looked at, the others are counted by a running sum.

    Args:
        matches: of the data set.
        overlaps: the T positions among the ten overlaps.
    """

    def __init__(self, matches: Matches, overlaps: Sequence[int] = range(NUM_OVERLAPS)) -> None:
        self._shape = len(overlaps), len(matches.category_ids)
        self._object_images, self._object_classes = matches.object_images, matches.object_classes
        right, ignored = matches.right[list(overlaps)], matches.ignored[list(overlaps)]  # (T, M)
        last = np.zeros(self._shape[1], dtype=np.int64)  # what comes after the last right one of a class is dropped
        of_class = np.flatnonzero(right.any(axis=0))
        np.maximum.at(last, matches.classes[of_class], of_class + 1)
        kept = (np.arange(len(matches.classes)) < last[matches.classes]) & ~ignored.all(axis=0)
        right, ignored, classes = right[:, kept], ignored[:, kept], matches.classes[kept]
        self._images = matches.images[kept].astype(np.intp)
        class_starts = np.searchsorted(classes, np.arange(self._shape[1]))

        overlap, self._places = np.nonzero(right)  # (E,), by overlap, then class, then rank
        segments = overlap * self._shape[1] + classes[self._places]
        self._right_images = self._images[self._places]
        self._segments, self._starts, self._lengths = np.unique(segments, return_index=True, return_counts=True)  # (S,)
        self._class_starts = class_starts[self._segments % self._shape[1]]
        self._offsets = np.repeat(np.arange(len(self._segments), 0, -1) - 1.0, self._lengths)  # (E,)

        width = len(classes)  # ignored at some overlaps, not at all: taken out of the running sum
        ignored_overlap, ignored_place = np.nonzero(ignored)
        self._ignored_images, keys = self._images[ignored_place], ignored_overlap * width + ignored_place
        self._ignored_before = np.searchsorted(keys, overlap * width + self._places)  # (E,)
        starts = self._segments // self._shape[1] * width + self._class_starts
        self._ignored_at_start = np.searchsorted(keys, starts)  # (S,)

    def average_precisions(self, weights: np.ndarray) -> np.ndarray:
        """Return the first result of :meth:`measure`."""
        return self.measure(weights)[0]

    def measure(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measure each class with image i counted ``weights[i]`` times.

        Returns:
            average precisions over 101 recalls and largest recalls, (T, K) fractions each; 0 for a class that was never
            found, NaN for one without objects in the draw.
        """
        weights = np.asarray(weights, dtype=np.int64)
        num_objects = np.bincount(self._object_classes, weights[self._object_images], self._shape[1])  # (K,)
        precisions = np.where(num_objects > 0, 0.0, np.nan)[None].repeat(self._shape[0], axis=0)  # (T, K)
        recalls = precisions.copy()
        if not len(self._segments):
            return precisions, recalls
        found = self._found(weights)
        precision = found / np.maximum(self._counted(weights), 1)
        recall = found / np.repeat(np.maximum(num_objects, 1)[self._segments % self._shape[1]], self._lengths)

        nearest = np.rint(recall * 100).astype(np.intp)
        reached = nearest + (_RECALLS[nearest] <= recall)  # (E,) how many of the 101 recalls
        gained = np.diff(reached, prepend=0)
        gained[self._starts] = reached[self._starts]
        best_from_here = np.maximum.accumulate((precision + self._offsets)[::-1])[::-1] - self._offsets  # by segment
        sums = np.add.reduceat(gained * best_from_here, self._starts) / len(_RECALLS)  # (S,)
        known = num_objects[self._segments % self._shape[1]] > 0
        precisions.reshape(-1)[self._segments[known]] = sums[known]
        recalls.reshape(-1)[self._segments[known]] = recall[self._starts + self._lengths - 1][known]
        return precisions, recalls

    def _found(self, weights: np.ndarray) -> np.ndarray:
        """(E,) right detections of the class up to each, itself included."""
        total = np.cumsum(weights[self._right_images])
        before = np.concatenate([[0], total])[self._starts]
        return total - np.repeat(before, self._lengths)

    def _counted(self, weights: np.ndarray) -> np.ndarray:
        """(E,) right and wrong detections of the class up to each, itself included."""
        total, ignored = (_running_sum(weights[images]) for images in (self._images, self._ignored_images))
        before = total[self._class_starts] - ignored[self._ignored_at_start]
        return total[self._places + 1] - ignored[self._ignored_before] - np.repeat(before, self._lengths)


def _match(
    truth: GroundTruth, table: ResultTable, images: np.ndarray, classes: np.ndarray, max_detections: int, area: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return what is right and what is ignored, (T, M) each; only pairs of an image and a class with both are matched.

    Each pair is an image of one class to the evaluator.

    Args:
        truth: the objects.
        table: the M detections; of equal ones of a pair the first comes first.
        images: (M,) index into the images.
        classes: (M,) index into the classes.
        max_detections: of a pair.
        area: one of ``AREA_RANGES``.
    """
    right, ignored = np.zeros((2, NUM_OVERLAPS, len(table)), dtype=bool)
    object_pairs, pairs = (
        truth.images * len(truth.category_ids) + truth.classes,
        images * len(truth.category_ids) + classes,
    )
    tried = np.intersect1d(object_pairs, pairs)
    order, object_order = (np.argsort(each, kind='stable') for each in (pairs, object_pairs))
    order, object_order = order[np.isin(pairs[order], tried)], object_order[np.isin(object_pairs[object_order], tried)]
    for start in range(0, len(tried), _PAIRS_AT_ONCE):
        chunk = tried[start : start + _PAIRS_AT_ONCE]
        rows = order[slice(*np.searchsorted(pairs[order], [chunk[0], chunk[-1] + 1]))]
        objects = object_order[slice(*np.searchsorted(object_pairs[object_order], [chunk[0], chunk[-1] + 1]))]
        found = table.select(rows)
        evaluation = evaluator_of(
            [
                {'id': i, 'height': height, 'width': width}
                for i, (height, width) in enumerate(truth.sizes[chunk // len(truth.category_ids)].tolist(), 1)
            ],
            [0],
            (truth, objects, np.searchsorted(chunk, object_pairs[objects]), np.zeros(len(objects), dtype=np.int64)),
            (found, np.searchsorted(chunk, pairs[rows]), np.zeros(len(rows), dtype=np.int64)),
            None if truth.segmentations is None else masks_and_areas(found, truth.sizes[images[rows]]),
        )
        evaluation.params.max_dets = [max_detections]
        evaluation.params.area_rng, evaluation.params.area_rng_lbl = [list(AREA_RANGES[area])], [area]
        evaluation.evaluate()
        for pair in filter(None, evaluation.eval_imgs):
            of_pair = rows[np.array(pair['dtIds'], dtype=np.int64) - 1]
            on_ignored = np.array(pair['dtIgnore'], dtype=bool)
            right[:, of_pair] = np.array(pair['dtMatched'], dtype=bool) & ~on_ignored
            ignored[:, of_pair] = on_ignored
    return right, ignored


def _running_sum(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, 2 ... values."""
    return np.concatenate([[0], np.cumsum(values)])
