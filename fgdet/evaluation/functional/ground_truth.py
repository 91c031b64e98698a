"""Objects of an annotation file as columns, checked: what the official tools would not take is an error.

Axis letters: I images, K classes, G objects, N detections.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from fgdet.evaluation.result_entries import is_id, is_run_length
from fgdet.evaluation.result_table import ResultTable
from fgdet.utils.checks import UserError

#: Above every range of area: an object of this area is ignored, which LVIS's ``ignore`` means.
_IGNORED_AREA = 1e11


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
                for category in ((image.get(field) or ()) if lvis_style else ())
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

    def num_objects(self) -> np.ndarray:
        """Return (K,) objects that count: no crowds, and none that is ignored."""
        return np.bincount(self.classes[~self.crowds & (self.areas < _IGNORED_AREA)], minlength=len(self.category_ids))

    def judged(self) -> np.ndarray:
        """Return (I, K) bool: images that were looked through for a class, whether it is there or not."""
        judged = np.zeros((len(self.image_ids), len(self.category_ids)), dtype=bool)
        judged[self.images, self.classes] = True
        judged[self.absent[:, 0], self.absent[:, 1]] = True
        return judged


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
    sides = [image.get('height'), image.get('width')]
    if isinstance(segmentation, list):
        if not segmentation or not all(map(_is_polygon, segmentation)):
            raise UserError(f'{where}: segmentation: expected polygons of three or more x, y, got {segmentation!r:.80}')
        if not all(isinstance(side, int | float) for side in sides):
            raise UserError(f"annotations: image {entry['image_id']} has no 'height' and 'width', which polygons need")
    elif not (is_run_length(segmentation) or _is_run_list(segmentation)):
        raise UserError(f'{where}: segmentation: expected polygons or {{"size", "counts"}}, got {segmentation!r:.80}')
    elif all(sides) and list(segmentation['size']) != sides:
        raise UserError(f'{where}: segmentation: size {segmentation["size"]}, but its image has {sides}')


def _is_polygon(value: Any) -> bool:
    if not isinstance(value, list) or len(value) < 6 or len(value) % 2:
        return False
    try:
        return math.isfinite(sum(value))
    except (TypeError, OverflowError):
        return False


def _is_run_list(value: Any) -> bool:
    """Whether a value is run lengths that are not compressed, and add up to an image."""
    counts = value.get('counts') if isinstance(value, dict) else None
    if not isinstance(counts, list) or not is_run_length(value | {'counts': ''}):
        return False
    return all(is_id(run) and run >= 0 for run in counts) and sum(counts) == math.prod(value['size'])
