"""Annotations and predictions of any size for ``evaluate.py``: jittered objects among noise, the same for each seed.

Axis letters: I images, G objects, N predictions, P predictions of an image, K classes.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fgdet.evaluation.result_files import write_result_list
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.run_lengths import RunLengths

HEIGHT, WIDTH = 480, 640


class Size(NamedTuple):
    """How large a data set is; LVIS has frequencies, and lists classes that an image was looked through for."""

    num_images: int
    num_classes: int
    per_image: int
    objects_per_image: float
    is_lvis: bool = False
    has_masks: bool = False


def generate(size: Size, folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write ``annotations.json`` and ``predictions.json``; return their paths."""
    generator = np.random.default_rng(seed)
    counts = generator.poisson(size.objects_per_image, size.num_images)
    counts[0] = max(counts[0], 1)
    images = np.repeat(np.arange(size.num_images), counts)  # (G,)
    shares = np.arange(1, size.num_classes + 1) ** -1.3  # few common classes and many rare ones
    classes = generator.choice(size.num_classes, len(images), p=shares / shares.sum())  # (G,)
    boxes = _boxes(generator, len(images))
    annotations = _annotations(size, generator, images, classes, boxes)
    predictions = _predictions(size, generator, counts, classes, boxes)
    paths = folder / 'annotations.json', folder / 'predictions.json'
    paths[0].write_text(json.dumps(annotations))
    write_result_list(paths[1], predictions)
    return paths


def _boxes(generator: np.random.Generator, count: int) -> np.ndarray:
    """(N, 4) xywh in the image, many small ones among them."""
    sides = np.exp(generator.normal(4, 0.8, (count, 2))).clip(6, (WIDTH - 1, HEIGHT - 1))
    return np.concatenate([generator.random((count, 2)) * ((WIDTH, HEIGHT) - sides), sides], axis=1)


def _annotations(
    size: Size, generator: np.random.Generator, images: np.ndarray, classes: np.ndarray, boxes: np.ndarray
) -> dict[str, Any]:
    areas = boxes[:, 2:].prod(axis=1) * generator.uniform(0.5, 1, len(boxes))
    crowds = (generator.random(len(boxes)) < 0.01) & (not size.is_lvis)
    columns = zip(images.tolist(), classes.tolist(), boxes.round(2).tolist(), areas.tolist(), crowds, strict=True)
    objects: list[dict[str, Any]] = [
        dict(id=i, image_id=image + 1, category_id=k + 1, bbox=box, area=area, iscrowd=int(crowd))
        for i, (image, k, box, area, crowd) in enumerate(columns, 1)
    ]
    if size.has_masks:
        for entry, polygon in zip(objects, _polygons(boxes), strict=True):
            entry['segmentation'] = [polygon.round(2).tolist()]
    entries: list[dict[str, Any]] = [dict(id=i + 1, height=HEIGHT, width=WIDTH) for i in range(size.num_images)]
    categories: list[dict[str, Any]] = [dict(id=k + 1, name=f'class {k}') for k in range(size.num_classes)]
    if size.is_lvis:
        pairs = np.unique(np.stack([images, classes]), axis=1)  # each class of an image once
        present = np.split(pairs[1], np.searchsorted(pairs[0], np.arange(1, size.num_images)))
        for entry, here in zip(entries, present, strict=True):
            absent = np.setdiff1d(generator.integers(0, size.num_classes, 6), here)
            incomplete = here[generator.random(len(here)) < 0.2]
            entry['neg_category_ids'] = (absent + 1).tolist()
            entry['not_exhaustive_category_ids'] = (incomplete + 1).tolist()
        for category, num in zip(categories, np.bincount(pairs[1], minlength=size.num_classes), strict=True):
            category['frequency'] = 'r' if num <= 10 else 'c' if num <= 100 else 'f'
    return dict(images=entries, categories=categories, annotations=objects)


def _predictions(
    size: Size, generator: np.random.Generator, counts: np.ndarray, classes: np.ndarray, boxes: np.ndarray
) -> ResultTable:
    """A third are objects of the image, seen a little wrong; scores tell them from noise, but not always."""
    num = size.num_images * size.per_image
    images = np.repeat(np.arange(size.num_images), size.per_image)  # (N,)
    is_object = (generator.random(num) < 1 / 3) & (counts[images] > 0)
    chosen = ((np.cumsum(counts) - counts)[images] + (generator.random(num) * counts[images]).astype(int))[is_object]
    found, labels = _boxes(generator, num), generator.integers(0, size.num_classes, num)
    jitter = generator.normal(0, 0.08, (len(chosen), 4)) * np.tile(boxes[chosen, 2:], 2)
    found[is_object] = boxes[chosen] + jitter
    found[:, 2:] = found[:, 2:].clip(1)
    labels[is_object] = np.where(generator.random(len(chosen)) < 0.8, classes[chosen], labels[is_object])
    scores = np.where(is_object, generator.beta(3, 2, num), generator.beta(1, 5, num)).astype(np.float32)
    found = found.astype(np.float32).astype(np.float64)
    masks = _run_lengths(found) if size.has_masks else None
    if size.has_masks:  # as the format has it: with a box, pycocotools takes the sizes of boxes
        found = np.full_like(found, np.nan)
    return ResultTable(images + 1, labels + 1, found, scores.astype(np.float64), masks)


def _polygons(boxes: np.ndarray) -> np.ndarray:
    """(N, 24) corners x, y of the ellipse that fills each box."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1) / 2 + 0.5  # (12, 2)
    return (boxes[:, None, :2] + unit * boxes[:, None, 2:]).reshape(len(boxes), -1)


def _run_lengths(boxes: np.ndarray) -> RunLengths:
    from pycocotools import mask as mask_utils

    polygons = _polygons(boxes).clip(0, WIDTH).tolist()
    return RunLengths.from_dicts(mask_utils.frPyObjects([polygon], HEIGHT, WIDTH)[0] for polygon in polygons)
