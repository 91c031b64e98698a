"""What is wrong with one entry of a COCO result list."""

import math
from collections.abc import Collection
from typing import Any

_LARGEST_ID = 2**63 - 1


def entry_problem(entry: Any, lenient: bool = False) -> str | None:
    """Return what is wrong with the form of one entry, a box or a mask or both, or None.

    Args:
        entry: the entry.
        lenient: whether numbers may be null, NaN or infinite, and sizes negative.
    """
    if not isinstance(entry, dict):
        return f'expected a dict, got {_shown(entry)}'
    segmented = entry.get('segmentation') is not None
    has_box = 'bbox' in entry and not (segmented and entry['bbox'] in (None, []))
    shape_field = 'bbox' if has_box or not segmented else 'segmentation'
    problem = _missing(entry, shape_field)
    if problem:
        return problem
    for field in ('image_id', 'category_id'):
        if not is_id(entry[field]):
            return f'{field}: expected an int, got {_shown(entry[field])}'
    if lenient:
        entry = entry | {'score': _finite(entry['score']), 'bbox': _finite_box(entry.get('bbox'))}
    return _wrong_value(entry, has_box, segmented)


def problem_of_run(
    entry: Any, image_ids: Collection[int], category_ids: Collection[int], shape_field: str
) -> str | None:
    """Return what is wrong with one entry for a data set of these ids, or None.

    Args:
        entry: the entry.
        image_ids: a set of the ids that it may name.
        category_ids: the same for categories.
        shape_field: ``bbox`` or ``segmentation``; the other one is not looked at.
    """
    if not isinstance(entry, dict):
        return f'expected a dict, got {_shown(entry)}'
    problem = _missing(entry, shape_field)
    if problem:
        return problem
    if not is_id(entry['image_id']) or entry['image_id'] not in image_ids:
        return f'image_id {_shown(entry["image_id"])} is not among the {len(image_ids)} images of the annotations'
    if not is_id(entry['category_id']) or entry['category_id'] not in category_ids:
        return f'category_id {_shown(entry["category_id"])} is not among the {len(category_ids)} categories'
    return _wrong_value(entry, shape_field == 'bbox', shape_field != 'bbox')


def is_box(value: Any) -> bool:
    """Whether a value is four finite numbers x, y, width >= 0, height >= 0."""
    is_four = isinstance(value, list | tuple) and len(value) == 4 and all(map(_is_number, value))
    return is_four and value[2] >= 0 and value[3] >= 0


def is_id(value: Any) -> bool:
    """Whether a value is an int of 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST_ID <= value <= _LARGEST_ID


def is_run_length(value: Any) -> bool:
    """Whether a value is compressed run lengths."""
    if not isinstance(value, dict) or not isinstance(value.get('counts'), str | bytes):
        return False
    size, counts = value.get('size'), value['counts']
    is_size = isinstance(size, list | tuple) and len(size) == 2 and all(is_id(n) and 0 <= n < 2**31 for n in size)
    return is_size and counts.isascii()


def _missing(entry: dict[str, Any], shape_field: str) -> str | None:
    for field in ('image_id', 'category_id', 'score', shape_field):
        if field not in entry:
            return f'no {field!r}; a COCO result has image_id, category_id, {shape_field}, score'
    return None


def _wrong_value(entry: dict[str, Any], look_at_box: bool, look_at_mask: bool) -> str | None:
    if not _is_number(entry['score']):
        return f'score: expected a finite number, got {_shown(entry["score"])}'
    if look_at_box and not is_box(entry['bbox']):
        return f'bbox: expected four finite numbers x, y, width >= 0, height >= 0, got {_shown(entry["bbox"])}'
    if look_at_mask and not is_run_length(entry['segmentation']):
        return (
            "segmentation: expected compressed run lengths {'size': [H, W], 'counts': text}, "
            f'got {_shown(entry["segmentation"])}'
        )
    return None


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _finite(value: Any) -> Any:
    """Return 0 for what stands for no number, or the value."""
    return 0 if value is None or (isinstance(value, float) and not math.isfinite(value)) else value


def _finite_box(value: Any) -> Any:
    """Return a box that differs in nothing but numbers that are none and in sizes below 0, or the value."""
    numbers = [_finite(number) for number in value] if isinstance(value, list | tuple) else None
    if numbers is None or len(numbers) != 4 or not all(map(_is_number, numbers)):
        return value
    return [*numbers[:2], *(max(0, number) for number in numbers[2:])]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + ' ...'
