"""Average precision in LVIS's way: by frequency of the class, and only where an image was looked through for it.

Gupta, Dollar, Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019.

Axis letters: N detections, T thresholds of overlap, R recall points, K classes, A ranges of area.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fgdet.evaluation.functional.coco_detection import average_precisions, ids_of, mean_of_known
from fgdet.evaluation.functional.coco_evaluator import AREAS, measure
from fgdet.evaluation.functional.ground_truth import GroundTruth
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import as_table
from fgdet.utils.checks import UserError

#: LVIS counts the 300 best detections of an image, over all classes.
MAX_DETECTIONS = 300

#: Fixed AP counts the 10,000 best detections of a class, over all images (Dave et al. 2021).
FIXED_DETECTIONS = 10_000


def evaluate_lvis(
    annotations: dict[str, Any],
    predictions: ResultTable | Sequence[dict[str, Any]],
    iou_type: str = 'bbox',
    fixed_ap: bool = False,
) -> dict[str, float]:
    """Score detections in LVIS's way.

    In an image, a detection of a class that is neither there nor among its ``neg_category_ids`` does not count, and
    one that matches nothing is no mistake for the classes of its ``not_exhaustive_category_ids``.

    Args:
        annotations: an LVIS annotation file's dict. It is not changed.
        predictions: a table or a COCO result list; of each image the 300 best count. It is not changed.
        iou_type: overlap of boxes (``'bbox'``) or of masks (``'segm'``). The size of a mask is its own, not its box's.
        fixed_ap: count the 10,000 best of each class over the data set instead, however many are in an image: Fixed AP
            of Dave et al., "Evaluating Large-Vocabulary Object Detectors: The Devil is in the Details", 2021.

    Returns:
        ``AP, AP50, AP75, APs, APm, APl``, for rare, common and frequent classes ``APr, APc, APf``, and ``AR@300,
        ARs@300, ARm@300, ARl@300``, which Fixed AP has not; for OV-LVIS ``base_ap``, of common and frequent classes
        together, and ``novel_ap``, that of the rare ones. Fractions; NaN where no class has ground truth.

    Raises:
        UserError: a category has no frequency, or a prediction is malformed or of an unknown id.
    """
    frequency = frequencies_of(annotations)
    table = best_of_lvis(as_table(predictions, *ids_of(annotations), iou_type), fixed_ap)
    scores = lvis_scores(*lvis_precision_and_recall(annotations, table, iou_type), frequency)
    return {name: value for name, value in scores.items() if not (fixed_ap and name.startswith('AR'))}


def lvis_scores(precision: np.ndarray, recall: np.ndarray, frequency: np.ndarray) -> dict[str, float]:
    """Return the scores of :func:`evaluate_lvis` from precision (T, R, K, A), recall (T, K, A) and (K,) frequencies."""
    scores = average_precisions(precision)
    scores |= {f'AP{each}': mean_of_known(precision[:, :, frequency == each, 0]) for each in 'rcf'}
    scores |= {f'AR{area[0] if i else ""}@300': mean_of_known(recall[..., i]) for i, area in enumerate(AREAS)}
    return scores | {
        'base_ap': mean_of_known(precision[:, :, frequency != 'r', 0]),
        'novel_ap': scores['APr'],
    }


def lvis_precision_and_recall(
    annotations: dict[str, Any], table: ResultTable, iou_type: str = 'bbox'
) -> tuple[np.ndarray, np.ndarray]:
    """Match detections with ground truth at overlaps of 0.5, 0.55 ... 0.95; see :func:`evaluate_lvis`.

    Args:
        annotations: an LVIS annotation file's dict.
        table: checked predictions; all of them count, so hand in those of :func:`best_of_lvis`.
        iou_type: ``'bbox'`` or ``'segm'``.

    Returns:
        precision at 101 recalls, (T, R, K, A), and the largest recall, (T, K, A), of the K categories in the order of
        ``annotations``; NaN without ground truth.
    """
    _, category_ids = ids_of(annotations)
    ground_truth = GroundTruth.from_annotations(annotations, category_ids, iou_type, lvis_style=True)
    return measure(ground_truth, table, None, lvis_style=True)


def frequencies_of(annotations: dict[str, Any]) -> np.ndarray:
    """Return (K,) ``r``, ``c`` or ``f`` for the categories.

    Raises:
        UserError: a category has no frequency.
    """
    for category in annotations['categories']:
        if category.get('frequency') not in ('r', 'c', 'f'):
            raise UserError(
                f"annotations: category {category['name']!r} has no 'frequency' of r, c or f; give an LVIS file"
            )
    return np.array([category['frequency'] for category in annotations['categories']])


def best_of_lvis(table: ResultTable, fixed_ap: bool = False) -> ResultTable:
    """Return the detections that LVIS looks at: the 300 best of each image, for Fixed AP 10,000 of each class."""
    groups, limit = (table.category_ids, FIXED_DETECTIONS) if fixed_ap else (table.image_ids, MAX_DETECTIONS)
    kept = best_of_each(groups, table.scores, limit)
    return table if kept.all() else table.select(kept)


def best_of_each(groups: np.ndarray, scores: np.ndarray, limit: int) -> np.ndarray:
    """Return (N,) bool: the ``limit`` best of each group; of equal ones the earlier, as lvis-api's stable sort has it.

    Args:
        groups: (N,) number of each one's group.
        scores: (N,).
        limit: how many of a group are kept.
    """
    _, groups, counts = np.unique(groups, return_inverse=True, return_counts=True)
    kept = np.ones(len(groups), dtype=bool)
    crowded = np.flatnonzero(counts[groups] > limit)
    if len(crowded):
        order = crowded[np.lexsort((-scores[crowded], groups[crowded]))]
        ordered = groups[order]
        kept[order[np.arange(len(order)) - np.searchsorted(ordered, ordered) >= limit]] = False
    return kept
