"""The image-info file of a test set: which images and categories there are.

Axis letters: I images, K categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json


@dataclass(eq=False)
class ImageInfo:
    """What detections may name.

    Args:
        path: the file.
        image_ids: (I,) int64, ascending.
        sizes_wh: (I, 2) int64 width and height in pixels, of the same order.
        category_ids: (K,) int64, ascending.
        num_annotations: of the file; 0 for a test set.
    """

    path: Path
    image_ids: np.ndarray
    sizes_wh: np.ndarray
    category_ids: np.ndarray
    num_annotations: int

    def find(self, image_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for ids (N,) their images' indices (N,) int64, and whether there is one (N,) bool; 0 where not."""
        index = np.searchsorted(self.image_ids, image_ids)
        index[index == len(self.image_ids)] = 0
        known = self.image_ids[index] == image_ids
        index[~known] = 0
        return index, known


def load_image_info(path: str | Path) -> ImageInfo:
    """Read ``images`` (``id``, ``width``, ``height``) and ``categories`` (``id``) of a COCO-form file.

    Raises:
        UserError: no such file, not JSON, a list or a field is missing or malformed, or an id stands there twice.
    """
    content = read_json(path, 'image-info file')
    where = f'image-info file {path}'
    for key in ('images', 'categories'):
        if not isinstance(content, dict) or not isinstance(content.get(key), list) or not content[key]:
            raise UserError(f'{where}: no list under {key!r}; give the image-info file of the test set')
    images, categories = content['images'], content['categories']
    image_ids = _integers(images, 'id', f'{where}: images')
    sizes = [_integers(images, field, f'{where}: images', 1) for field in ('width', 'height')]
    order = np.argsort(image_ids)
    return ImageInfo(
        path=Path(path),
        image_ids=_unique(image_ids[order], f'{where}: images'),
        sizes_wh=np.stack(sizes, axis=1)[order],
        category_ids=_unique(np.sort(_integers(categories, 'id', f'{where}: categories')), f'{where}: categories'),
        num_annotations=len(content.get('annotations') or ()),
    )


def _integers(entries: Sequence[Any], field: str, where: str, least: int = 0) -> np.ndarray:
    values = [entry.get(field) if isinstance(entry, dict) else None for entry in entries]
    for position, value in enumerate(values):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
            raise UserError(f'{where}[{position}].{field}: expected an integer from {least}, got {value!r}')
    return np.array(values, dtype=np.int64)


def _unique(ids: np.ndarray, where: str) -> np.ndarray:
    twice = np.unique(ids[1:][ids[1:] == ids[:-1]])
    if len(twice):
        shown = ', '.join(map(str, twice[:10].tolist()))
        raise UserError(f'{where}: {len(twice)} ids stand there more than once ({shown}); the file is damaged')
    return ids
