"""Precision and recall of detections in columns, by hotcoco: compiled, and equal to the official tools.

pycocotools and lvis-api are the measure. Where hotcoco or a file's ids would lead elsewhere, what it is given is
prepared: ids are numbered from 1 (pycocotools reads an object's id 0 as "matched nothing"), what has no area is left
out in LVIS's way (lvis-api looks up areas above 0 only), and what hotcoco would take without a word is an error.

Axis letters: I images, K classes, G objects, N detections, T thresholds of overlap, R recall points, A ranges of area.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hotcoco.mask
import numpy as np
from hotcoco import COCO, COCOeval
from pycocotools import mask as mask_utils

from fgdet.evaluation.result_table import ResultTable
from fgdet.utils.checks import UserError

#: What a measurement over A ranges of area is of, in order: below 32 x 32 pixels, up to 96 x 96, above.
AREAS = ('all', 'small', 'medium', 'large')

#: Objects and detections that are matched at once: what the evaluator holds of them takes some 500 bytes each.
_AT_ONCE = 400_000

#: Above every range of area: an object of this area is ignored, which LVIS's ``ignore`` means.
_IGNORED_AREA = 1e11

_NUM_THRESHOLDS, _NUM_RECALLS = 10, 101


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """G objects of K classes on I images, as columns.

    Args:
        image_ids: (I,) ascending.
        sizes: (I, 2) int, height and width in pixels; 0 where the file has none.
        category_ids: (K,) in the order of what is measured.
        images: (G,) index into ``image_ids``.
        classes: (G,) index into ``category_ids``.
        boxes: (G, 4) xywh.
        areas: (G,) square pixels.
        crowds: (G,) bool.
        segmentations: G polygons or run lengths, or None where boxes are compared.
        absent: (P, 2) pairs of an image and a class that it was looked through for in vain.
        incomplete: (Q, 2) pairs of an image and a class of which it has more than the objects here.
    """

    image_ids: np.ndarray
    sizes: np.ndarray
    category_ids: np.ndarray
    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowds: np.ndarray
    segmentations: list[Any] | None
    absent: np.ndarray
    incomplete: np.ndarray

    @classmethod
    def from_annotations(
        cls, annotations: Mapping[str, Any], category_ids: Sequence[int], iou_type: str, lvis_style: bool = False
    ) -> 'GroundTruth':
        """Take the objects of these categories; those on other images than the file's are left out, as officially.

        Args:
            annotations: a COCO-form or LVIS dict.
            category_ids: the K categories.
            iou_type: ``'bbox'`` or ``'segm'``.
            lvis_style: read what LVIS has: pairs of images and classes, ``ignore``; ``iscrowd`` has no meaning, and an
                object without area is none.

        Raises:
            UserError: an id is no integer, or an object has no mask where masks are compared, or one that is none.
        """
        images = {image['id']: image for image in annotations['images']}
        image_ids = np.sort(_ids(images, 'images'))
        place, class_of = ({n: i for i, n in enumerate(ids)} for ids in (image_ids.tolist(), category_ids))
        sizes = [(images[n].get('height') or 0, images[n].get('width') or 0) for n in image_ids.tolist()]
        objects = [
            each for each in annotations['annotations'] if each['category_id'] in class_of and each['image_id'] in place
        ]
        if iou_type == 'segm':
            for each in objects:
                _check_mask(each, images[each['image_id']])
        areas = np.array([_area(each, images, iou_type) for each in objects], dtype=np.float64)
        crowds = np.array([bool(each.get('iscrowd')) for each in objects], dtype=bool)
        if lvis_style:
            objects = [each for each, area in zip(objects, areas, strict=True) if area > 0]
            ignored = np.array([bool(each.get('ignore')) for each in objects], dtype=bool)
            areas = np.where(ignored, _IGNORED_AREA, areas[areas > 0])
            crowds = np.zeros(len(objects), dtype=bool)
        pairs = {
            field: [
                (place[number], class_of[category])
                for number, image in images.items()
                for category in (image.get(field, ()) if lvis_style else ())
                if category in class_of
            ]
            for field in ('neg_category_ids', 'not_exhaustive_category_ids')
        }
        return cls(
            image_ids,
            np.array(sizes, dtype=np.int64).reshape(-1, 2),
            _ids(category_ids, 'categories'),
            np.array([place[each['image_id']] for each in objects], dtype=np.int64),
            np.array([class_of[each['category_id']] for each in objects], dtype=np.int64),
            np.array([each['bbox'] for each in objects], dtype=np.float64).reshape(-1, 4),
            areas,
            crowds,
            [each['segmentation'] for each in objects] if iou_type == 'segm' else None,
            *(np.array(each, dtype=np.int64).reshape(-1, 2) for each in pairs.values()),
        )

    def places(self, table: ResultTable) -> tuple[np.ndarray, np.ndarray]:
        """Return the image and the class of each detection, (N,) and (N,) indices; class -1: none of the K."""
        order = np.argsort(self.category_ids)
        if not len(order):
            return np.searchsorted(self.image_ids, table.image_ids), np.full(len(table), -1)
        places = np.searchsorted(self.category_ids, table.category_ids, sorter=order).clip(max=len(order) - 1)
        classes = order[places]
        classes[self.category_ids[classes] != table.category_ids] = -1
        return np.searchsorted(self.image_ids, table.image_ids), classes

    def judged(self) -> np.ndarray:
        """Return (I, K) bool: images that were looked through for a class, whether it is there or not."""
        judged = np.zeros((len(self.image_ids), len(self.category_ids)), dtype=bool)
        judged[self.images, self.classes] = True
        judged[self.absent[:, 0], self.absent[:, 1]] = True
        return judged


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
    for start, stop in _class_ranges(ground_truth.classes, classes[kept], num_classes):
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
    """Return the evaluator of some objects and detections, image i and class k of which have the ids i + 1, k + 1."""
    images, classes = places
    areas = None
    if ground_truth.segmentations is not None:
        areas = mask_areas(table, ground_truth.sizes[images])
    elif lvis_style:
        areas = table.boxes[:, 2] * table.boxes[:, 3]
    if lvis_style and areas is not None and not (areas > 0).all():
        kept = areas > 0
        table, images, classes, areas = table.select(kept), images[kept], classes[kept], areas[kept]
    used = np.union1d(images, ground_truth.images[objects])
    truth = COCO.from_arrays(
        _image_entries(ground_truth, used, class_range, lvis_style),
        [{'id': k + 1, 'name': str(k), 'frequency': 'f'} for k in range(*class_range)],
        ground_truth.images[objects] + 1,
        ground_truth.classes[objects] + 1,
        ground_truth.boxes[objects],
        area=ground_truth.areas[objects],
        iscrowd=ground_truth.crowds[objects],
        segmentation=ground_truth.segmentations and [ground_truth.segmentations[each] for each in objects],
    )
    boxes = np.nan_to_num(table.boxes)
    columns = np.column_stack([images + 1, boxes, table.scores, classes + 1])  # (N, 7)
    if ground_truth.segmentations is None:
        found = truth.load_res(columns)
    else:
        found = truth.load_res(columns, segmentation=[*_masks_of(table)])
        found.update_anns(ids=np.arange(1, len(table) + 1), area=areas)
    return COCOeval(truth, found, 'bbox' if ground_truth.segmentations is None else 'segm', lvis_style=lvis_style)


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


def _class_ranges(object_classes: np.ndarray, classes: np.ndarray, num_classes: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of classes that hold about ``_AT_ONCE`` objects and detections, or a single class with more."""
    counts = np.bincount(object_classes, minlength=num_classes) + np.bincount(classes, minlength=num_classes)
    start = 0
    while start < num_classes:
        fitting = np.searchsorted(np.cumsum(counts[start:]), _AT_ONCE, side='right')
        stop = start + max(1, int(fitting))
        yield start, stop
        start = stop


def _ids(ids: Any, field: str) -> np.ndarray:
    """Return ids as (N,) int64.

    Raises:
        UserError: one is no integer.
    """
    wrong = [each for each in ids if not isinstance(each, int | np.integer)]
    if wrong:
        raise UserError(f'annotations: {field}: expected integer ids, got {wrong[0]!r}')
    return np.array(list(ids), dtype=np.int64)


def _area(entry: Mapping[str, Any], images: Mapping[int, Any], iou_type: str) -> float:
    """Return an object's area as the file has it, else that of its mask or its box."""
    if entry.get('area') is not None:
        return entry['area']
    if iou_type == 'bbox':
        return entry['bbox'][2] * entry['bbox'][3]
    image, segmentation = images[entry['image_id']], entry['segmentation']
    if isinstance(segmentation, list):
        segmentation = mask_utils.merge(mask_utils.frPyObjects(segmentation, image['height'], image['width']))
    elif isinstance(segmentation['counts'], list):
        segmentation = mask_utils.frPyObjects(segmentation, *segmentation['size'])
    return float(mask_utils.area(segmentation))


def _check_mask(entry: Mapping[str, Any], image: Mapping[str, Any]) -> None:
    """Raise UserError for a segmentation that the official tools do not take."""
    where = f'annotations: object {entry.get("id")} of image {entry["image_id"]}'
    if 'segmentation' not in entry:
        raise UserError(f"{where} has no 'segmentation', which iou_type segm needs")
    segmentation = entry['segmentation']
    if isinstance(segmentation, list):
        if not segmentation or any(
            not isinstance(each, list) or len(each) < 6 or len(each) % 2 for each in segmentation
        ):
            raise UserError(f'{where}: segmentation: expected polygons of three or more x, y, got {segmentation!r:.80}')
        if not all(isinstance(image.get(side), int) for side in ('height', 'width')):
            raise UserError(f"annotations: image {entry['image_id']} has no 'height' and 'width', which polygons need")
    elif not (isinstance(segmentation, dict) and {'size', 'counts'} <= set(segmentation)):
        raise UserError(f'{where}: segmentation: expected polygons or {{"size", "counts"}}, got {segmentation!r:.80}')


def mask_areas(table: ResultTable, sizes: np.ndarray) -> np.ndarray:
    """Return the (N,) areas of masks in pixels.

    Raises:
        UserError: one has another size than its image, so that it could never match.
    """
    masks = _masks_of(table)
    found = np.array([each['size'] for each in masks], dtype=np.int64).reshape(-1, 2)
    wrong = np.flatnonzero((found != sizes).any(axis=1) & (sizes > 0).all(axis=1))
    if len(wrong):
        row = wrong[0]
        raise UserError(
            f'predictions: a mask on image {table.image_ids[row]} has size {found[row].tolist()}, expected its height '
            f'and width {sizes[row].tolist()}'
        )
    return np.asarray(hotcoco.mask.area(masks), dtype=np.float64)


def _masks_of(table: ResultTable) -> list[dict[str, Any]]:
    """Return the N run lengths, which a checked table has."""
    return [dict(each) for each in table.segmentations or () if each is not None]
