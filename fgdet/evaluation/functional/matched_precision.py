"""COCO's and LVIS's AP50 in two steps: detections are matched once, then many choices among them are scored.

What a detection matches depends on better ones of its class in its image alone, so leaving out worse ones changes no
match. A sweep over settings that only move a limit needs no further matching.

Axes: I images, M detections of one image, G objects of one image, N detections of all images, K classes, R recalls.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from fgdet.evaluation.functional.coco_detection import MAX_DETECTIONS

#: Overlap from which on a detection is right.
MIN_IOU = 0.5
RIGHT, WRONG, NOT_COUNTED = 1, 0, -1

_RECALLS = np.linspace(0.0, 1.0, 101)


class ObjectsOfImage:
    """The objects of one image, and which detections count there."""

    def __init__(self, image: dict[str, Any], objects: Sequence[dict[str, Any]], labels: dict[int, int]) -> None:
        xywh = np.array([each['bbox'] for each in objects], dtype=np.float64).reshape(-1, 4)
        self.boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)  # (G, 4)
        self.labels = np.array([labels[each['category_id']] for each in objects], dtype=np.int64)  # (G,)
        self.is_crowd = np.array([bool(each.get('iscrowd', 0)) for each in objects], dtype=bool)  # (G,)
        self.looked_for: np.ndarray | None = None
        self.incomplete: np.ndarray = np.zeros(0, dtype=np.int64)
        if 'neg_category_ids' in image:  # LVIS: other classes were not looked for here
            absent = [labels[number] for number in image['neg_category_ids'] if number in labels]
            self.looked_for = np.union1d(self.labels, np.array(absent, dtype=np.int64))
            partly = image.get('not_exhaustive_category_ids', ())
            self.incomplete = np.array([labels[number] for number in partly if number in labels], dtype=np.int64)

    def outcomes(self, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Which detections are right.

        Args:
            boxes: (M, 4) xyxy in pixels of the image, from the best score on.
            labels: (M,).

        Returns:
            (M,) int8 of ``RIGHT``, ``WRONG`` and ``NOT_COUNTED``: on a crowd, beyond the 100 best of a class (COCO), of
            a class that was not looked for, or without area (LVIS).
        """
        result = np.full(len(boxes), WRONG, dtype=np.int8)
        for label in np.intersect1d(labels, self.labels):
            mine = np.flatnonzero(labels == label)
            result[mine] = _match(boxes[mine], self.boxes[self.labels == label], self.is_crowd[self.labels == label])
        if self.looked_for is not None:
            has_area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) > 0
            result[~(np.isin(labels, self.looked_for) & has_area)] = NOT_COUNTED
            result[np.isin(labels, self.incomplete) & (result == WRONG)] = NOT_COUNTED
        elif len(labels) > MAX_DETECTIONS:
            order = np.argsort(labels, kind='stable')
            first = np.searchsorted(labels[order], labels[order])
            result[order[np.arange(len(order)) - first >= MAX_DETECTIONS]] = NOT_COUNTED
        return result


def objects_by_image(annotations: dict[str, Any], category_ids: Sequence[int]) -> dict[int, ObjectsOfImage]:
    """The objects of the K categories in each image, by the image's id; in LVIS those without area are none.

    Args:
        annotations: a COCO-form or LVIS dict.
        category_ids: the category of each label.
    """
    labels = {number: label for label, number in enumerate(category_ids)}
    is_lvis = any('neg_category_ids' in image for image in annotations['images'])
    objects = defaultdict(list)
    for entry in annotations['annotations']:
        if entry['category_id'] in labels and not (is_lvis and _area(entry) <= 0):
            objects[entry['image_id']].append(entry)
    return {image['id']: ObjectsOfImage(image, objects[image['id']], labels) for image in annotations['images']}


def count_objects(images: Sequence[ObjectsOfImage], num_classes: int) -> np.ndarray:
    """(K,) objects of each class that can be found: crowds are left out."""
    labels = [each.labels[~each.is_crowd] for each in images]
    return np.bincount(np.concatenate(labels) if labels else np.zeros(0, dtype=np.int64), minlength=num_classes)


class RankedDetections:
    """Detections of all images in the order in which precision counts them: class by class, the best first.

    Args:
        labels: (N,) in 0..K-1.
        scores: (N,).
        outcomes: (N,) as of :meth:`ObjectsOfImage.outcomes`; equal scores count in the order in which they stand.
    """

    def __init__(self, labels: np.ndarray, scores: np.ndarray, outcomes: np.ndarray) -> None:
        counted = np.flatnonzero(outcomes != NOT_COUNTED)
        self._order = counted[np.lexsort((-scores[counted], labels[counted]))]
        self._labels, self._right = labels[self._order], outcomes[self._order] == RIGHT

    def average_precisions(self, num_objects: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
        """Each class's AP50: the mean of the precision at 101 recalls, as COCO interpolates it.

        Args:
            num_objects: (K,).
            kept: (N,) bool, the detections that count; None: all.

        Returns:
            (K,) fractions; 0 for a class that was never found, NaN for one without objects.
        """
        here = slice(None) if kept is None else kept[self._order]
        labels, right = self._labels[here], self._right[here]
        ends = np.searchsorted(labels, np.arange(len(num_objects) + 1))
        result = np.where(num_objects > 0, 0.0, np.nan)
        for label in np.flatnonzero((num_objects > 0) & (ends[1:] > ends[:-1])):
            found = np.cumsum(right[ends[label] : ends[label + 1]])
            precision = found / np.arange(1, len(found) + 1)
            best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
            places = np.searchsorted(found / num_objects[label], _RECALLS, side='left')  # (R,)
            result[label] = np.append(best_from_here, 0.0)[places].mean()
        return result


def _area(entry: dict[str, Any]) -> float:
    return entry['area'] if entry.get('area') is not None else entry['bbox'][2] * entry['bbox'][3]


def _match(boxes: np.ndarray, objects: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """COCO's greedy matching of one class in one image: (M, 4) from the best on, and (G, 4) -> (M,) outcomes."""
    overlap = _overlaps(boxes, objects, is_crowd)  # (M, G)
    free = ~is_crowd
    result = np.full(len(boxes), WRONG, dtype=np.int8)
    for index in np.flatnonzero((overlap >= MIN_IOU).any(axis=1)):
        able = np.where(free, overlap[index], -1.0)
        best = len(able) - 1 - able[::-1].argmax()  # of equal ones the last
        if able[best] >= MIN_IOU:
            free[best] = False
            result[index] = RIGHT
        elif (overlap[index][is_crowd] >= MIN_IOU).any():
            result[index] = NOT_COUNTED
    return result


def _overlaps(boxes: np.ndarray, objects: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """(M, G) intersection over union; over the detection's own area for a crowd."""
    boxes = boxes.astype(np.float64)
    low = np.maximum(boxes[:, None, :2], objects[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], objects[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    area, areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), (objects[:, 2:] - objects[:, :2]).prod(axis=1)
    union = area[:, None] + np.where(is_crowd, 0.0, areas - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
