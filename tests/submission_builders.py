"""Small test sets, detections and their files, for the tests of submissions."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

CATEGORY_IDS = (1, 3, 90)
INFO_NAME = 'image_info_test-dev2017.json'


def write_info(folder: Path, num_images: int = 4, name: str = INFO_NAME, **fields: Any) -> Path:
    """An image-info file; image 10 + i is 100 + 10 i wide and 80 high. ``fields`` replace or add."""
    images = [{'id': 10 + i, 'width': 100 + 10 * i, 'height': 80, 'file_name': f'{i}.jpg'} for i in range(num_images)]
    categories = [{'id': number, 'name': f'class {number}'} for number in CATEGORY_IDS]
    return write(folder / name, {'images': images, 'categories': categories} | fields)


def write(path: Path, content: Any) -> Path:
    """A JSON file; NaN and infinities as Python writes them."""
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def entry(image_id: int = 10, **fields: Any) -> dict[str, Any]:
    """A good detection; ``fields`` replace or add."""
    return {'image_id': image_id, 'category_id': 1, 'bbox': [10.25, 20.5, 30.0, 40.75], 'score': 0.5} | fields


def entries(num: int, num_images: int = 4, seed: int = 0, with_masks: bool = False) -> list[dict[str, Any]]:
    """Good random detections of :func:`write_info`, as a detector gives them: single precision, full digits."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(num):
        image = int(random.integers(num_images))
        size = random.uniform(1, 70, 2).astype(np.float32).astype(float)
        corner = (random.uniform(0, 1, 2) * (np.array([100 + 10 * image, 80]) - size)).astype(np.float32).astype(float)
        each = entry(
            10 + image,
            category_id=int(random.choice(CATEGORY_IDS)),
            bbox=[*corner.tolist(), *size.tolist()],
            score=float(np.float32(random.random())),
        )
        if with_masks:
            each['segmentation'] = run_lengths(random.random((80, 100 + 10 * image)) < random.random())
        found.append(each)
    return found


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """COCO's compressed run lengths of a mask (H, W) bool."""
    encoded = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': list(mask.shape), 'counts': encoded['counts'].decode('ascii')}


def in_zip(path: Path) -> tuple[Sequence[str], Any]:
    """The names in a zip file, and the content of the first, a JSON file."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        return names, json.loads(archive.read(names[0]))
