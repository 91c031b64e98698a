"""What is wrong with a COCO-form annotation file: a mistake that would only lower a score is an error too."""

import math
from collections.abc import Callable
from typing import Any

from fgdet.evaluation.result_entries import is_box, is_id
from fgdet.utils.checks import UserError


def check_annotations(annotations: Any, where: str, or_images: bool = False) -> None:
    """Check the fields that scores and pages are made of; an object may name an image or a class of another file.

    Args:
        annotations: the content of the file.
        where: how an error names the file.
        or_images: whether ``annotations`` may be left out, as in the image-info file of a test set.

    Raises:
        UserError: no dict, a list is missing, a field is missing or malformed, or two images or categories share an id.
    """
    if not isinstance(annotations, dict):
        raise UserError(f'{where}: expected a COCO-form dict, got a {type(annotations).__name__}')
    for key, required in _REQUIRED.items():
        if or_images and key == 'annotations' and key not in annotations:
            continue
        if not isinstance(annotations.get(key), list):
            raise UserError(f'{where}: no list under {key!r}; give a COCO-form file')
        for position, entry in enumerate(annotations[key]):
            missing = [field for field in required if not isinstance(entry, dict) or field not in entry]
            if missing:
                raise UserError(f'{where}: {key}[{position}] has no {missing[0]!r}')
        for field, (is_right, expected) in (required | _OPTIONAL[key]).items():
            for position, entry in enumerate(annotations[key]):
                if field in entry and not is_right(entry[field]):
                    found = f'{entry[field]!r:.80}'
                    raise UserError(f'{where}: {key}[{position}].{field}: expected {expected}, got {found}')
    for key in ('images', 'categories'):
        first: dict[int, int] = {}
        for position, entry in enumerate(annotations[key]):
            if first.setdefault(entry['id'], position) != position:
                raise UserError(f'{where}: {key}[{position}].id: {entry["id"]} is that of [{first[entry["id"]]}] too')


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and value in (0, 1))


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def _is_side(value: Any) -> bool:
    return value is None or (_is_number(value) and 0 <= value < 2**31)


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_id, value))


_Rules = dict[str, tuple[Callable[[Any], bool], str]]
_ID, _FLAG, _SIDE, _IDS = (is_id, 'an integer'), (_is_flag, '0 or 1'), (_is_side, 'pixels'), (_is_ids, 'a list of ids')
_BOX = (is_box, 'four finite numbers x, y, width >= 0, height >= 0')

_REQUIRED: dict[str, _Rules] = {
    'images': {'id': _ID},
    'categories': {'id': _ID, 'name': (_is_text, 'text')},
    'annotations': {'image_id': _ID, 'category_id': _ID, 'bbox': _BOX},
}
_OPTIONAL: dict[str, _Rules] = {
    'images': {'height': _SIDE, 'width': _SIDE, 'neg_category_ids': _IDS, 'not_exhaustive_category_ids': _IDS},
    'categories': {},
    'annotations': {'area': (_is_number, 'a finite number'), 'iscrowd': _FLAG, 'ignore': _FLAG},
}
