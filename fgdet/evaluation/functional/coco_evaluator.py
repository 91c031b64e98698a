"""Precision and recall of detections in columns, by hotcoco: compiled, and equal to the official tools.

pycocotools and lvis-api are the measure. Where hotcoco or a file's ids would lead elsewhere, what it is given is
prepared: ids are numbered from 1 (pycocotools reads an object's id 0 as "matched nothing"), what has no area is left
out in LVIS's way (lvis-api looks up areas above 0 only), and what hotcoco would take without a word is an error.

Axis letters: I images, K classes, G objects, N detections, T thresholds of overlap, R recall points, A ranges of area.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import hotcoco.mask
import numpy as np
from hotcoco import COCO, COCOeval

from fgdet.evaluation.functional.ground_truth import GroundTruth
from fgdet.evaluation.result_table import ResultTable
from fgdet.utils.checks import UserError

#: What a measurement over A ranges of area is of, in order: below 32 x 32 pixels, up to 96 x 96, above.
AREAS = ('all', 'small', 'medium', 'large')

#: Objects and detections that are matched at once: the evaluator takes some 500 bytes for a box, four times that for a
#: mask.
_AT_ONCE = 400_000

_NUM_THRESHOLDS, _NUM_RECALLS = 10, 101


def measure(
    ground_truth: GroundTruth,
    table: ResultTable,
    max_detections: int | None,
    num_areas: int = len(AREAS),
    lvis_style: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Match detections with objects at overlaps of 0.5, 0.55 ... 0.95, as many classes at a time as memory stays flat.

    Args:
        ground_truth: the objects.
        table: the detections, all of known images; other classes than the K are left out.
        max_detections: how many of a class count in an image; None for all.
        num_areas: A, the first so many of ``AREAS``.
        lvis_style: leave out detections of pairs that were not judged, see :meth:`GroundTruth.judged`, and do not count
            what matches nothing in a pair that is incomplete. A detection without area is none.

    Returns:
        precision at 101 recalls, (T, R, K, A), and the largest recall, (T, K, A); NaN without ground truth.

    Raises:
        UserError: a mask has another size than its image.
    """
    num_classes = len(ground_truth.category_ids)
    precision = np.full((_NUM_THRESHOLDS, _NUM_RECALLS, num_classes, num_areas), np.nan)
    recall = np.full((_NUM_THRESHOLDS, num_classes, num_areas), np.nan)
    images, classes = ground_truth.places(table)
    kept = classes >= 0
    if lvis_style:
        kept &= ground_truth.judged()[images, classes]
    at_once = _AT_ONCE if ground_truth.segmentations is None else _AT_ONCE // 4
    for start, stop in _class_ranges(ground_truth.classes, classes[kept], num_classes, at_once):
        rows = np.flatnonzero(kept & (classes >= start) & (classes < stop))
        if not (in_range := (ground_truth.classes >= start) & (ground_truth.classes < stop)).any():
            continue
        objects = np.flatnonzero(in_range)
        evaluation = _evaluator(
            ground_truth, objects, (images[rows], classes[rows]), table.select(rows), (start, stop), lvis_style
        )
        evaluation.params.max_dets = [max(len(rows), 1) if max_detections is None else max_detections]
        evaluation.params.area_rng = evaluation.params.area_rng[:num_areas]
        evaluation.params.area_rng_lbl = evaluation.params.area_rng_lbl[:num_areas]
        evaluation.evaluate()
        evaluation.accumulate()
        assert evaluation.eval is not None
        precision[:, :, start:stop] = evaluation.eval['precision'][..., 0]  # -1: none
        recall[:, start:stop] = evaluation.eval['recall'][..., 0]
    return np.where(precision < 0, np.nan, precision), np.where(recall < 0, np.nan, recall)


def _evaluator(
    ground_truth: GroundTruth,
    objects: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
    table: ResultTable,
    class_range: tuple[int, int],
    lvis_style: bool,
) -> COCOeval:
    """Return the evaluator of some objects and detections."""
    images, classes = places
    masks: list[Any] = []
    if ground_truth.segmentations is None:
        areas = table.boxes[:, 2] * table.boxes[:, 3]
    else:
        masks, areas = masks_and_areas(table, ground_truth.sizes[images])
    if lvis_style and not (areas > 0).all():
        kept = np.flatnonzero(areas > 0)
        table, images, classes, areas = table.select(kept), images[kept], classes[kept], areas[kept]
        masks = [masks[row] for row in kept] if masks else []
    used = np.union1d(images, ground_truth.images[objects])
    return evaluator_of(
        _image_entries(ground_truth, used, class_range, lvis_style),
        range(*class_range),
        (ground_truth, objects, ground_truth.images[objects], ground_truth.classes[objects]),
        (table, images, classes),
        None if ground_truth.segmentations is None else (masks, areas),
        lvis_style,
    )


def evaluator_of(
    images: list[dict[str, Any]],
    classes: Iterable[int],
    truth: tuple[GroundTruth, np.ndarray, np.ndarray, np.ndarray],
    found: tuple[ResultTable, np.ndarray, np.ndarray],
    masks: tuple[list[Any], np.ndarray] | None = None,
    lvis_style: bool = False,
) -> COCOeval:
    """Return hotcoco's evaluator, in which image i and class k have the ids i + 1 and k + 1.

    Args:
        images: entries with ``id, height, width`` and, for LVIS, its lists of classes.
        classes: k of each class.
        truth: objects, the indices of those that are looked at (g,), and their i (g,) and k (g,).
        found: N detections, and their i (N,) and k (N,).
        masks: N run lengths and their areas (N,), where masks are compared.
        lvis_style: as for :func:`measure`.
    """
    (ground_truth, objects, *places), (table, *found_places) = truth, found
    segmentations = ground_truth.segmentations
    coco = COCO.from_arrays(
        images,
        [{'id': k + 1, 'name': str(k), 'frequency': 'f'} for k in classes],
        places[0] + 1,
        places[1] + 1,
        ground_truth.boxes[objects],
        area=ground_truth.areas[objects],
        iscrowd=ground_truth.crowds[objects],
        segmentation=None if segmentations is None else [segmentations[each] for each in objects],
    )
    boxes = np.nan_to_num(table.boxes)
    columns = np.column_stack([found_places[0] + 1, boxes, table.scores, found_places[1] + 1])  # (N, 7)
    if masks is None:
        return COCOeval(coco, coco.load_res(columns), 'bbox', lvis_style=lvis_style)
    results = coco.load_res(columns, segmentation=masks[0])
    results.update_anns(ids=np.arange(1, len(table) + 1), area=masks[1])
    return COCOeval(coco, results, 'segm', lvis_style=lvis_style)


def _image_entries(
    ground_truth: GroundTruth, used: np.ndarray, class_range: tuple[int, int], lvis_style: bool
) -> list[dict[str, Any]]:
    """Return the evaluator's entries of the used images, with the classes that LVIS lists for them."""
    entries = {
        i: {'id': i + 1, 'height': height, 'width': width}
        for i, (height, width) in zip(used.tolist(), ground_truth.sizes[used].tolist(), strict=True)
    }
    if lvis_style:
        fields = {'neg_category_ids': ground_truth.absent, 'not_exhaustive_category_ids': ground_truth.incomplete}
        for field, pairs in fields.items():
            for entry in entries.values():
                entry[field] = []
            in_range = (pairs[:, 1] >= class_range[0]) & (pairs[:, 1] < class_range[1])
            for image, class_index in pairs[in_range].tolist():
                if image in entries:
                    entries[image][field].append(class_index + 1)
    return list(entries.values())


def _class_ranges(
    object_classes: np.ndarray, classes: np.ndarray, num_classes: int, at_once: int
) -> Iterator[tuple[int, int]]:
    """Yield ranges of classes that hold up to ``at_once`` objects and detections, or a single class with more."""
    counts = np.bincount(object_classes, minlength=num_classes) + np.bincount(classes, minlength=num_classes)
    start = 0
    while start < num_classes:
        fitting = np.searchsorted(np.cumsum(counts[start:]), at_once, side='right')
        stop = start + max(1, int(fitting))
        yield start, stop
        start = stop


def masks_and_areas(table: ResultTable, sizes: np.ndarray) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return the run lengths of N masks, and their areas (N,) in pixels.

    Args:
        table: of masks.
        sizes: (N, 2) height and width of each one's image.

    Raises:
        UserError: one has another size than its image, so that it could never match.
    """
    masks = [dict(each) for each in table.segmentations or () if each is not None]
    found = np.array([each['size'] for each in masks], dtype=np.int64).reshape(-1, 2)
    wrong = np.flatnonzero((found != sizes).any(axis=1) & (sizes > 0).all(axis=1))
    if len(wrong):
        row = wrong[0]
        raise UserError(
            f'predictions: a mask on image {table.image_ids[row]} has size {found[row].tolist()}, expected its height '
            f'and width {sizes[row].tolist()}'
        )
    return masks, np.asarray(hotcoco.mask.area(masks), dtype=np.float64)
