"""Average precision in LVIS's way: by frequency of the class, and only where an image was looked through for it.

Gupta, Dollar, Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019.

Axis letters: T thresholds of overlap, R recall points, K classes, A ranges of area.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from fgdet.evaluation.functional.coco_detection import AREAS, average_precisions, mean_of_known, precision_and_recall
from fgdet.evaluation.results import validate_results
from fgdet.utils.checks import UserError

#: LVIS counts the 300 best detections of an image, over all classes.
MAX_DETECTIONS = 300

#: Classes that are matched at once: the evaluator keeps an entry for each pair of an image and a class.
_CLASSES_AT_ONCE = 100


def evaluate_lvis(
    annotations: dict[str, Any], predictions: Sequence[dict[str, Any]], iou_type: str = 'bbox'
) -> dict[str, float]:
    """Score detections in LVIS's way.

    In an image, a detection of a class that is neither there nor among its ``neg_category_ids`` does not count, and
    one that matches nothing is no mistake for the classes of its ``not_exhaustive_category_ids``.

    Args:
        annotations: an LVIS annotation file's dict. It is not changed.
        predictions: a COCO result list; of each image the 300 best count. It is not changed.
        iou_type: overlap of boxes (``'bbox'``) or of masks (``'segm'``).

    Returns:
        ``AP, AP50, AP75, APs, APm, APl``, for rare, common and frequent classes ``APr, APc, APf``, and ``AR@300,
        ARs@300, ARm@300, ARl@300``; for OV-LVIS ``base_ap``, of common and frequent classes together, and ``novel_ap``,
        that of the rare ones. Fractions; NaN where no class has ground truth.

    Raises:
        UserError: a category has no frequency, or a prediction is malformed or of an unknown id.
    """
    categories = annotations['categories']
    for category in categories:
        if category.get('frequency') not in ('r', 'c', 'f'):
            raise UserError(
                f"annotations: category {category['name']!r} has no 'frequency' of r, c or f; give an LVIS file"
            )
    category_ids = [category['id'] for category in categories]
    validate_results(predictions, [image['id'] for image in annotations['images']], category_ids, iou_type)
    by_category: dict[int, list[dict[str, Any]]] = {number: [] for number in category_ids}
    judged = {(each['image_id'], each['category_id']) for each in annotations['annotations']}
    judged |= {(each['id'], number) for each in annotations['images'] for number in each.get('neg_category_ids', ())}
    for entry in best_of_each_image(predictions):
        if (entry['image_id'], entry['category_id']) in judged:
            by_category[entry['category_id']].append(entry)
    precisions, recalls = [], []
    for start in range(0, len(category_ids), _CLASSES_AT_ONCE):
        chunk = category_ids[start : start + _CLASSES_AT_ONCE]
        entries = [entry for number in chunk for entry in by_category[number]]
        tables = precision_and_recall(annotations, entries, chunk, iou_type, MAX_DETECTIONS, lvis_style=True)
        precisions.append(tables[0])
        recalls.append(tables[1])
    precision, recall = np.concatenate(precisions, axis=2), np.concatenate(recalls, axis=1)  # (T, R, K, A), (T, K, A)
    frequency = np.array([category['frequency'] for category in categories])
    scores = {'AP': mean_of_known(precision[..., 0])} | average_precisions(precision)
    scores |= {f'AP{each}': mean_of_known(precision[:, :, frequency == each, 0]) for each in 'rcf'}
    scores |= {f'AR{area[0] if i else ""}@300': mean_of_known(recall[..., i]) for i, area in enumerate(AREAS)}
    return scores | {
        'base_ap': mean_of_known(precision[:, :, frequency != 'r', 0]),
        'novel_ap': scores['APr'],
    }


def best_of_each_image(
    predictions: Sequence[dict[str, Any]], max_detections: int = MAX_DETECTIONS
) -> list[dict[str, Any]]:
    """Return each image's best detections; of equal ones the earlier."""
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for entry in predictions:
        by_image[entry['image_id']].append(entry)
    best = (sorted(each, key=lambda entry: -entry['score'])[:max_detections] for each in by_image.values())
    return [entry for entries in best for entry in entries]
