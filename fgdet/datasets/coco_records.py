"""Region-text records from COCO-form annotations: texts made of category names, true and poor."""

import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fgdet.text.english import article, counted, listed
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json

#: Smallest side of a box, in pixels, that gets a record.
SMALLEST_SIDE = 8


def records_from_coco(
    ann_file: str | Path, num_negatives: int = 10, max_regions: int = 20, seed: int = 0
) -> list[dict[str, Any]]:
    """FineHARD-style records of a COCO-form annotation file.

    Texts are made of category names, counts and positions: they are true and poor. Hard negatives are categories that
    are not in the image, of the same supercategory first. Crowds and boxes under 8 pixels are left out, larger boxes
    come first; an image without a box is left out.

    Args:
        ann_file: the annotation file.
        num_negatives: hard negatives of each region, fewer where the file has fewer categories.
        max_regions: most regions of an image.
        seed: seed of the choice of negatives.

    Returns:
        one record for each image, in the order of the file; ``f_path`` is the image's ``file_name``.

    Raises:
        UserError: the file is missing, is no JSON, lacks images, annotations or categories, or an entry of them is bad.
    """
    content = read_coco(ann_file)
    categories = {c['id']: c for c in content['categories']}
    boxes: dict[int, list[dict[str, Any]]] = {}
    for annotation in content['annotations']:
        if not annotation.get('iscrowd') and min(annotation['bbox'][2:]) >= SMALLEST_SIDE:
            boxes.setdefault(annotation['image_id'], []).append(annotation)
    rng = random.Random(seed)
    records = []
    for image in content['images']:
        found = sorted(boxes.get(image['id'], []), key=lambda a: -a['bbox'][2] * a['bbox'][3])[:max_regions]
        if found:
            records.append(_record(image, found, categories, num_negatives, rng))
    return records


def read_coco(ann_file: str | Path) -> dict[str, Any]:
    """Return the content of a COCO-form annotation file with checked images, annotations and categories.

    Raises:
        UserError: the file is missing, is no JSON, lacks images, annotations or categories, or an entry of them is bad.
    """
    content = read_json(ann_file, 'annotation file')
    for field in ('images', 'annotations', 'categories'):
        if not isinstance(content, dict) or not isinstance(content.get(field), list):
            raise UserError(f'annotation file {ann_file}: it has no list "{field}"; give a COCO instances file')
    _check_entries(content, f'annotation file {ann_file}')
    return content


def _check_entries(content: dict[str, list[Any]], where: str) -> None:
    """Raise UserError for the first entry that lacks a field or has a wrong value."""
    known = {c.get('id') for c in content['categories'] if isinstance(c, dict) and isinstance(c.get('id'), int | str)}
    checks: dict[str, dict[str, Callable[[Any], bool]]] = {
        'images': dict(id=_is_id, file_name=_is_text, width=_is_length, height=_is_length),
        'categories': dict(id=_is_id, name=_is_text),
        'annotations': dict(image_id=_is_id, category_id=lambda value: _is_id(value) and value in known, bbox=_is_box),
    }
    for key, fields in checks.items():
        for position, entry in enumerate(content[key]):
            for field, is_good in fields.items():
                value = entry.get(field) if isinstance(entry, dict) else None
                if not is_good(value):
                    raise UserError(f'{where}: {key}[{position}] has {value!r} for its {field}')


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_length(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


def _record(
    image: dict[str, Any],
    annotations: list[dict[str, Any]],
    categories: dict[int, dict[str, Any]],
    num_negatives: int,
    rng: random.Random,
) -> dict[str, Any]:
    names = [categories[a['category_id']]['name'] for a in annotations]
    counts = Counter(names)
    overview = listed([counted(name, count) for name, count in counts.items()])
    places = [_place(a['bbox'], image) for a in annotations]
    details = listed([f'{article(name)} {place}' for name, place in zip(names, places, strict=True)])
    absent = [c for c in categories.values() if c['name'] not in counts]
    return dict(
        f_path=image['file_name'],
        caption=f'A photograph of {overview}. In the picture there is {details}.',
        short_caption=overview,
        bbox_info=[
            dict(
                bbox=[*_normalised(a['bbox'], image), 1.0],
                short_expr=name,
                long_expr=f'{article(name)} {place}',
                flag_short_neg=int(bool(absent)),
                short_expr_negs={
                    str(i): text
                    for i, text in enumerate(_negatives(categories[a['category_id']], absent, num_negatives, rng))
                },
            )
            for a, name, place in zip(annotations, names, places, strict=True)
        ],
    )


def _negatives(category: dict[str, Any], absent: list[dict[str, Any]], number: int, rng: random.Random) -> list[str]:
    """Names of absent categories, those of the same supercategory first."""
    shuffled = rng.sample(absent, len(absent))
    shuffled.sort(key=lambda c: c.get('supercategory') != category.get('supercategory'))
    return [c['name'] for c in shuffled[:number]]


def _normalised(bbox: list[float], image: dict[str, Any]) -> list[float]:
    x, y, width, height = bbox
    corners = (x / image['width'], y / image['height'], (x + width) / image['width'], (y + height) / image['height'])
    return [round(min(max(value, 0.0), 1.0), 6) for value in corners]


def _place(bbox: list[float], image: dict[str, Any]) -> str:
    centre = (bbox[0] + bbox[2] / 2) / image['width']
    return 'on the left' if centre < 1 / 3 else 'on the right' if centre > 2 / 3 else 'in the middle'
