"""Boxes of images from a file: annotations, or plain lists.

Axes: n boxes of an image, R of all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json
from fgdet.utils.image_paths import name_of_image, names_of_images


class RegionFile(NamedTuple):
    """Boxes of images."""

    images: list[str]  # file names below the folder of images
    boxes: list[np.ndarray]  # of each (n, 4) float64, xyxy in pixels of the image
    ids: np.ndarray  # (R,) int64: annotation ids, or places from 0


def read_regions(path: str | Path) -> RegionFile:
    """Boxes of a COCO-form annotation file, or of ``{"file name": [[x1, y1, x2, y2], ...]}``.

    Raises:
        UserError: no such file, another form, or a box that is none; with its place.
    """
    content, where = read_json(path, 'region file'), f'region file {path}'
    if not isinstance(content, dict) or not content:
        raise UserError(f'{where}: expected COCO-form annotations, or {{"file name": [[x1, y1, x2, y2], ...]}}')
    if 'images' in content and 'annotations' in content:
        return _from_coco(content, where)
    boxes = [_boxes(rows, f'{where}: {name}') for name, rows in content.items()]
    for name, corners in zip(content, boxes, strict=True):
        wrong = np.flatnonzero((corners[:, :2] > corners[:, 2:]).any(axis=1))
        if len(wrong):
            raise UserError(f'{where}: {name}: expected x1 <= x2 and y1 <= y2, got {content[name][wrong[0]]}')
    return RegionFile(list(content), boxes, np.arange(sum(map(len, boxes))))


def _from_coco(content: Mapping[str, Any], where: str) -> RegionFile:
    rows: dict[Any, list[Any]] = {}
    for position, image in enumerate(content['images']):
        if not isinstance(image, dict) or 'id' not in image or not isinstance(name_of_image(image), str):
            raise UserError(
                f'{where}: images[{position}]: expected "id" and "file_name" or "coco_url", got {image!r:.80}'
            )
        rows[image['id']] = []
    ids: dict[Any, list[int]] = {image_id: [] for image_id in rows}
    for position, entry in enumerate(content['annotations']):
        place = f'{where}: annotations[{position}]'
        if not isinstance(entry, dict) or entry.get('image_id') not in rows or 'bbox' not in entry:
            raise UserError(f'{place}: expected "bbox" and the "image_id" of one of the images, got {entry!r:.80}')
        x, y, width, height = _boxes([entry['bbox']], place)[0].tolist()
        if min(width, height) < 0:
            raise UserError(f'{place}.bbox: expected x, y, width >= 0, height >= 0, got {entry["bbox"]}')
        rows[entry['image_id']].append([x, y, x + width, y + height])
        ids[entry['image_id']].append(entry.get('id', position))
    names = names_of_images(content['images'])
    boxes = [np.array(each, np.float64).reshape(-1, 4) for each in rows.values()]
    return RegionFile(names, boxes, np.array([i for each in ids.values() for i in each], dtype=np.int64))


def _boxes(rows: Any, where: str) -> np.ndarray:
    try:
        boxes = np.asarray(rows if len(rows) else np.zeros((0, 4)), dtype=np.float64)
    except (TypeError, ValueError):
        boxes = np.empty(0, np.float64)
    if boxes.shape[1:] != (4,) or not np.isfinite(boxes).all():
        raise UserError(f'{where}: expected four finite numbers a box, got {rows!r:.80}')
    return boxes
