"""COCO annotation files and COCO result lists: reading them, and saying what is wrong with them."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json

IOU_TYPES = ('bbox', 'segm')

_ANNOTATION_KEYS = {'images': ('id',), 'categories': ('id', 'name'), 'annotations': ('image_id', 'category_id', 'bbox')}


def load_annotations(path: str | Path) -> dict[str, Any]:
    """Read a COCO-form annotation file.

    Raises:
        UserError: no such file, not JSON, or one of ``images``, ``categories``, ``annotations`` or of the fields in
            them is missing, or a box is none.
    """
    annotations = read_json(path, 'annotation file')
    where = f'annotation file {path}'
    if not isinstance(annotations, dict):
        raise UserError(f'{where}: expected a COCO-form dict, got a {type(annotations).__name__}')
    for key, fields in _ANNOTATION_KEYS.items():
        if not isinstance(annotations.get(key), list):
            raise UserError(f'{where}: no list under {key!r}; give a COCO-form file')
        for position, entry in enumerate(annotations[key]):
            missing = [field for field in fields if not isinstance(entry, dict) or field not in entry]
            if missing:
                raise UserError(f'{where}: {key}[{position}] has no {missing[0]!r}')
            if key == 'annotations' and not _is_box(entry['bbox']):
                raise UserError(
                    f'{where}: annotations[{position}].bbox: expected four finite numbers x, y, width >= 0, '
                    f'height >= 0, got {entry["bbox"]!r}'
                )
    return annotations


def load_results(path: str | Path) -> list[dict[str, Any]]:
    """Read a COCO result list: ``[{"image_id", "category_id", "bbox" [x, y, width, height], "score"}, ...]``.

    The entries are checked by :func:`validate_results`, once the annotations they belong to are known.

    Raises:
        UserError: no such file, not JSON or not a list.
    """
    results = read_json(path, 'prediction file')
    if not isinstance(results, list):
        hint = ' (an annotation file?)' if isinstance(results, dict) and 'annotations' in results else ''
        raise UserError(f'prediction file {path}: expected a COCO result list, got a {type(results).__name__}{hint}')
    return results


def validate_results(
    results: Sequence[Any],
    image_ids: Collection[int],
    category_ids: Collection[int],
    iou_type: str = 'bbox',
    where: str = 'predictions',
) -> None:
    """Check every entry of a COCO result list; an empty list is fine.

    Args:
        results: the entries.
        image_ids: the ids that an entry may name.
        category_ids: the same for categories.
        iou_type: ``'bbox'`` needs a box in every entry, ``'segm'`` a segmentation.
        where: how an error names the list.

    Raises:
        UserError: the first entry that misses a field, has a wrong value or names an unknown id.
    """
    check_iou_type(iou_type)
    known_images, known_categories = set(image_ids), set(category_ids)
    shape_field = 'bbox' if iou_type == 'bbox' else 'segmentation'
    for position, entry in enumerate(results):
        problem = _problem(entry, known_images, known_categories, shape_field)
        if problem:
            raise UserError(f'{where}[{position}]: {problem}')


def check_iou_type(iou_type: str) -> None:
    """Raise UserError unless ``iou_type`` is one of ``IOU_TYPES``."""
    if iou_type not in IOU_TYPES:
        raise UserError(f'iou_type: expected one of {", ".join(IOU_TYPES)}, got {iou_type!r}')


def _problem(entry: Any, known_images: set[int], known_categories: set[int], shape_field: str) -> str | None:
    """Return what is wrong with one entry, or None."""
    if not isinstance(entry, dict):
        return f'expected a dict, got {entry!r}'
    for field in ('image_id', 'category_id', 'score', shape_field):
        if field not in entry:
            return f'no {field!r}; a COCO result has image_id, category_id, {shape_field}, score'
    if not _is_id(entry['image_id']) or entry['image_id'] not in known_images:
        return f'image_id {entry["image_id"]!r} is not among the {len(known_images)} images of the annotations'
    if not _is_id(entry['category_id']) or entry['category_id'] not in known_categories:
        return f'category_id {entry["category_id"]!r} is not among the {len(known_categories)} categories'
    if not _is_number(entry['score']):
        return f'score: expected a finite number, got {entry["score"]!r}'
    if shape_field == 'bbox' and not _is_box(entry['bbox']):
        return f'bbox: expected four finite numbers x, y, width >= 0, height >= 0, got {entry["bbox"]!r}'
    if shape_field == 'segmentation' and not _is_run_length(entry['segmentation']):
        return "segmentation: expected compressed run lengths {'size': [H, W], 'counts': text}"
    return None


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_box(value: Any) -> bool:
    is_four = isinstance(value, list | tuple) and len(value) == 4 and all(map(_is_number, value))
    return is_four and value[2] >= 0 and value[3] >= 0


def _is_run_length(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get('counts'), str | bytes) and len(value.get('size', ())) == 2
