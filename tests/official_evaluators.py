"""The official evaluators, pycocotools and lvis-api, on dicts in memory; and random data on which evaluators differ."""

import contextlib
import copy
import io
import logging
from typing import Any
from unittest import mock

import numpy as np
from lvis import LVIS, LVISEval, LVISResults
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIDE = 80

Entries = list[dict[str, Any]]


def coco_tables(
    annotations: dict[str, Any], predictions: Entries, iou_type: str = 'bbox', max_detections: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """pycocotools' precision (T, R, K, A) and recall (T, K, A), classes by ascending id; NaN where it says -1."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(predictions)), iou_type)
        evaluation.params.maxDets = [max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    return _known(evaluation.eval['precision'][..., 0]), _known(evaluation.eval['recall'][..., 0])


def lvis_tables(
    annotations: dict[str, Any], predictions: Entries, iou_type: str = 'bbox', max_detections: int = 300
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """lvis-api's precision and recall as :func:`coco_tables`, and its scores."""
    truth = LVIS.__new__(LVIS)
    truth.logger = logging.getLogger('quiet')
    truth.logger.setLevel(logging.ERROR)
    truth.dataset = copy.deepcopy(annotations)
    truth._create_index()
    with (
        mock.patch.object(np, 'float', float, create=True),  # it was written for numpy before 1.24
        mock.patch('logging.getLogger', return_value=truth.logger),
    ):
        evaluation = LVISEval(truth, LVISResults(truth, copy.deepcopy(predictions), max_detections), iou_type)
        evaluation.run()
    return _known(evaluation.eval['precision']), _known(evaluation.eval['recall']), dict(evaluation.results)


def random_scene(seed: int, iou_type: str = 'bbox', lvis: bool = False, distinct_scores: bool = False) -> Any:
    """Annotations and predictions with all that evaluators trip over.

    Crowds, tied scores, boxes and masks without area, objects at the limits of the size ranges, boxes beyond the image,
    image and category ids in no order, a class without objects, polygons of one and more parts, both forms of run
    lengths; for LVIS what was not looked for, what is not exhaustive, and ``ignore``.

    Returns:
        a COCO-form or LVIS dict, and a COCO result list with boxes or with masks.
    """
    rng = np.random.default_rng(seed)
    image_ids, category_ids = rng.permutation(np.arange(8) * 7 + 3).tolist(), rng.permutation(np.arange(5) * 3).tolist()
    objects: Entries = []
    for index in range(40):
        box = _random_box(rng, iou_type)
        area = float(box[2] * box[3]) if rng.random() < 0.8 else float(rng.choice([0, 1023.9, 1024, 9216]))
        entry = {
            'id': index + 1,
            'image_id': int(rng.choice(image_ids)),
            'category_id': int(rng.choice(category_ids[:-1])),
            'bbox': box.tolist(),
            'area': area,
            'iscrowd': int(rng.random() < 0.15),
        }
        if lvis:
            entry['ignore'] = int(rng.random() < 0.1)
        if iou_type == 'segm':
            entry['segmentation'] = _random_segmentation(rng, box)
        objects.append(entry)
    found: Entries = []
    for _ in range(250):
        source = objects[int(rng.integers(len(objects)))]
        box = np.array(source['bbox']) + rng.normal(0, 1.5, 4) * rng.integers(3)
        box = np.append(box[:2], box[2:].clip(0)) if rng.random() < 0.7 else _random_box(rng, iou_type)
        entry = {
            'image_id': source['image_id'] if rng.random() < 0.8 else int(rng.choice(image_ids)),
            'category_id': source['category_id'] if rng.random() < 0.8 else int(rng.choice(category_ids)),
            'score': float(rng.random() if distinct_scores else rng.integers(8) / 8),
        }
        if iou_type == 'bbox':
            entry['bbox'] = box.tolist()
        else:
            is_copy = rng.random() < 0.4
            entry['segmentation'] = compressed(source['segmentation'] if is_copy else run_lengths(_mask_of(rng, box)))
        found.append(entry)
    images = [{'id': number, 'height': SIDE, 'width': SIDE} for number in image_ids]
    if lvis:
        for image in images:
            for field, share in (('neg_category_ids', 0.3), ('not_exhaustive_category_ids', 0.2)):
                image[field] = [number for number in category_ids if rng.random() < share]
    categories = [{'id': n, 'name': f'class {n}', 'frequency': 'rcf'[n % 5 % 3]} for n in category_ids]
    return {'images': images, 'categories': categories, 'annotations': objects}, found


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """A (H, W) mask as run lengths that are not compressed, columns first, background first."""
    flat = np.concatenate([[0], mask.T.reshape(-1), [2]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(edges, prepend=0).tolist()
    return {'size': list(mask.shape), 'counts': counts}


def compressed(segmentation: Any) -> dict[str, Any]:
    """Any segmentation of an image of ``SIDE`` by ``SIDE`` as compressed run lengths."""
    if isinstance(segmentation, list):
        segmentation = mask_utils.merge(mask_utils.frPyObjects(segmentation, SIDE, SIDE))
    elif isinstance(segmentation['counts'], list):
        segmentation = mask_utils.frPyObjects(segmentation, SIDE, SIDE)
    counts = segmentation['counts']
    return {'size': list(segmentation['size']), 'counts': counts if isinstance(counts, str) else counts.decode()}


def _random_box(rng: np.random.Generator, iou_type: str) -> np.ndarray:
    low = -5 if iou_type == 'bbox' else 0
    box = np.concatenate([rng.uniform(low, 0.7 * SIDE, 2), rng.exponential(12, 2)])
    if rng.random() < 0.05:
        box[2 + int(rng.integers(2))] = 0
    return box


def _mask_of(rng: np.random.Generator, box: np.ndarray) -> np.ndarray:
    x, y, width, height = box.round().astype(int)
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = 1
    return mask & (rng.random(mask.shape) < rng.choice([0.8, 1.0]))


def _random_segmentation(rng: np.random.Generator, box: np.ndarray) -> Any:
    kind = rng.integers(3)
    if kind < 2:
        whole = run_lengths(_mask_of(rng, box))
        return compressed(whole) if kind else whole
    corners = [rng.uniform(-0.2, 1.2, (rng.integers(3, 8), 2)) for _ in range(rng.integers(1, 4))]
    return [(each * box[2:] + box[:2]).reshape(-1).tolist() for each in corners]


def _known(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, np.nan, values)
