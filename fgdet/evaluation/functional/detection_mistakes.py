"""What is wrong with detections: the kind of each mistake, and the objects that were missed.

The kinds are those of Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020,
section 2.2, at its limits of 0.5 and 0.1. Of a detection that fits two kinds TIDE takes localization before class
before duplicate; here an overlap of 0.5 says more than one of 0.1, and the own class more than another.

Axis letters: D detections and G objects of one image, K classes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hotcoco import mask as run_lengths

from fgdet.evaluation.functional.detection_matches import Matches
from fgdet.evaluation.result_table import ResultTable

#: Overlap from which a detection has its object, and overlap below which it has nothing to do with it.
FOUND, NEAR = 0.5, 0.1

WRONG_CLASS, POOR_OVERLAP, DUPLICATE, BACKGROUND = 'wrong class', 'poor overlap', 'duplicate', 'background'
WRONG_CLASS_AND_OVERLAP, MISSED = 'wrong class, poor overlap', 'missed'

#: The largest objects among which missed ones are looked for.
_OBJECTS_LOOKED_AT = 2000


def find_mistakes(
    matches: Matches, predictions: ResultTable, annotations: dict[str, Any], limit: int = 200, iou_type: str = 'bbox'
) -> list[dict[str, Any]]:
    """The most confident detections that are wrong at an overlap of 0.5.

    An object of any category of the annotations may be what was taken for another; crowds are none.

    Args:
        matches: of ``predictions``.
        predictions: what was matched.
        annotations: a COCO-form dict.
        limit: so many at most.
        iou_type: ``'bbox'`` or ``'segm'``.

    Returns:
        The best score first, each with ``image_id, bbox`` (xywh in pixels), ``score``, ``name`` (its class), ``kind``,
        ``truth`` and ``truth_bbox`` (the object that it overlaps most of those that make its kind; None for
        ``'background'``) and ``overlap`` with it.
    """
    wrong = np.flatnonzero(~matches.right[0] & ~matches.ignored[0])
    wrong = wrong[np.lexsort((matches.rows[wrong], -matches.scores[wrong]))][:limit]
    table = predictions.select(matches.rows[wrong])
    objects, sizes = _objects_of(annotations, set(table.image_ids.tolist()))
    names = {each['id']: each['name'] for each in annotations['categories']}
    mistakes = []
    for row, (image_id, category_id) in enumerate(zip(table.image_ids.tolist(), table.category_ids.tolist())):  # noqa: B905
        here = objects[image_id]
        overlaps = _overlaps(_shapes(table, [row], iou_type), _object_shapes(here, iou_type, sizes[image_id]))[
            0
        ]  # (G,)
        kind, index = _kind(overlaps, np.array([each['category_id'] == category_id for each in here], dtype=bool))
        truth = None if index is None else here[index]
        mistakes.append(
            {
                'image_id': image_id,
                'bbox': _box_of(table, row),
                'score': float(table.scores[row]),
                'name': names[category_id],
                'kind': kind,
                'truth': truth and names.get(truth['category_id']),
                'truth_bbox': truth and list(truth['bbox']),
                'overlap': 0.0 if index is None else float(overlaps[index]),
            }
        )
    return mistakes


def find_missed(
    matches: Matches, predictions: ResultTable, annotations: dict[str, Any], limit: int = 50, iou_type: str = 'bbox'
) -> list[dict[str, Any]]:
    """The largest objects that no detection of their class overlaps by 0.5, among the 2,000 largest.

    Returns:
        The largest first, each with ``image_id, bbox, truth, kind`` (``'missed'``), ``score`` and ``name`` (None), and
        ``overlap``, the largest of a detection of its class.
    """
    classes = {number: index for index, number in enumerate(matches.category_ids.tolist())}
    names = {each['id']: each['name'] for each in annotations['categories']}
    sizes = {each['id']: (each.get('height', 0), each.get('width', 0)) for each in annotations['images']}
    images = {number: index for index, number in enumerate(matches.image_ids.tolist())}
    objects = [e for e in annotations['annotations'] if e['category_id'] in classes and e['image_id'] in images]
    objects = [each for each in objects if not each.get('iscrowd', 0)]
    objects.sort(key=lambda each: -each['bbox'][2] * each['bbox'][3])
    pairs = matches.images * len(classes) + matches.classes
    order = np.argsort(pairs, kind='stable')
    pairs = pairs[order]
    missed: list[dict[str, Any]] = []
    for each in objects[:_OBJECTS_LOOKED_AT]:
        pair = images[each['image_id']] * len(classes) + classes[each['category_id']]
        first, last = np.searchsorted(pairs, [pair, pair + 1])
        shapes = _shapes(predictions, matches.rows[order[first:last]], iou_type)
        overlaps = _overlaps(shapes, _object_shapes([each], iou_type, sizes[each['image_id']]))
        overlap = float(overlaps.max(initial=0.0))
        if overlap < FOUND:
            truth = {'truth': names[each['category_id']], 'bbox': list(each['bbox']), 'overlap': overlap}
            missed.append({'image_id': each['image_id'], 'score': None, 'name': None, 'kind': MISSED} | truth)
        if len(missed) == limit:
            break
    return missed


def count_missed(matches: Matches) -> np.ndarray:
    """(K,) objects of each class that were matched with no detection at an overlap of 0.5."""
    num_classes = len(matches.category_ids)
    found = np.bincount(matches.classes[matches.right[0]], minlength=num_classes)
    return np.bincount(matches.object_classes, minlength=num_classes) - found


def _kind(overlaps: np.ndarray, is_own: np.ndarray) -> tuple[str, int | None]:
    """The kind of a wrong detection from its overlaps with G objects, and the object that makes it so."""
    for limit, own_kind, other_kind in (
        (FOUND, DUPLICATE, WRONG_CLASS),
        (NEAR, POOR_OVERLAP, WRONG_CLASS_AND_OVERLAP),
    ):
        for kind, mine in ((own_kind, is_own), (other_kind, ~is_own)):
            values = np.where(mine, overlaps, -1.0)
            if values.max(initial=-1.0) >= limit:
                return kind, int(values.argmax())
    return BACKGROUND, None


def _objects_of(
    annotations: dict[str, Any], image_ids: set[int]
) -> tuple[Mapping[int, list[dict[str, Any]]], dict[int, tuple[int, int]]]:
    """The objects of some images, crowds left out, and the images' heights and widths."""
    objects: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for each in annotations['annotations']:
        if each['image_id'] in image_ids and not each.get('iscrowd', 0):
            objects[each['image_id']].append(each)
    images = (each for each in annotations['images'] if each['id'] in image_ids)
    return objects, {each['id']: (each.get('height', 0), each.get('width', 0)) for each in images}


def _overlaps(detected: Any, objects: Any) -> np.ndarray:
    """(D, G) intersection over union of boxes or of masks."""
    if not len(detected) or not len(objects):
        return np.zeros((len(detected), len(objects)))
    return np.asarray(run_lengths.iou(detected, objects, [False] * len(objects)))


def _shapes(table: ResultTable, rows: Sequence[int] | np.ndarray, iou_type: str) -> Any:
    """What is compared: boxes (D, 4) xywh, or run lengths."""
    if iou_type == 'bbox':
        return table.boxes[rows]
    assert table.segmentations is not None
    return [table.segmentations[int(row)] for row in rows]


def _object_shapes(objects: Sequence[dict[str, Any]], iou_type: str, size_hw: tuple[int, int]) -> Any:
    if iou_type == 'bbox':
        return np.array([each['bbox'] for each in objects], dtype=np.float64).reshape(-1, 4)
    return [_run_length(each['segmentation'], size_hw) for each in objects]


def _run_length(segmentation: Any, size_hw: tuple[int, int]) -> Any:
    """Polygons, or run lengths in either form, as compressed run lengths."""
    if isinstance(segmentation, list):
        return run_lengths.merge(run_lengths.frPyObjects(segmentation, *size_hw))
    return (
        segmentation
        if isinstance(segmentation['counts'], str | bytes)
        else run_lengths.frPyObjects(segmentation, *size_hw)
    )


def _box_of(table: ResultTable, row: int) -> list[float]:
    """The box of a detection; around its mask where it came without one."""
    if np.isnan(table.boxes[row, 0]) and table.segmentations is not None:
        return [float(value) for value in run_lengths.toBbox([table.segmentations[row]])[0]]  # type: ignore[list-item]
    return [float(value) for value in table.boxes[row]]
