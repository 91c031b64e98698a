"""Average precision of open-vocabulary detections in COCO's way, apart for base and for novel classes.

Axis letters: T thresholds of overlap, R recall points, K classes, A ranges of area.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fgdet.evaluation.functional.coco_evaluator import AREAS, measure
from fgdet.evaluation.functional.ground_truth import GroundTruth
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import as_table
from fgdet.structures.lvis_split import lvis_prompt_name
from fgdet.structures.vocabulary import Vocabulary, ov_coco_vocabulary
from fgdet.utils.checks import UserError

#: COCO counts the 100 best detections of a class in an image.
MAX_DETECTIONS = 100


def evaluate_ov_coco(
    annotations: dict[str, Any],
    predictions: ResultTable | Sequence[dict[str, Any]],
    vocabulary: Vocabulary | None = None,
    iou_type: str = 'bbox',
) -> dict[str, float]:
    """Score detections on the base, the novel and all classes of an open-vocabulary split.

    A group's score is the mean over its classes that have ground truth (crowd regions alone do not count), as COCO's
    is: AP at an overlap of 0.5, and the mean of ten APs at 0.5, 0.55 ... 0.95. Every image of ``annotations`` counts,
    also those without an object of the split: hand in the file that the protocol prescribes.

    Args:
        annotations: a COCO-form dict; categories outside the vocabulary are left out. It is not changed.
        predictions: a table or a COCO result list; categories outside the vocabulary are left out. It is not changed.
        vocabulary: the class names with their base/novel split; None is OV-COCO's 48 and 17. ``all`` are its names.
        iou_type: overlap of boxes (``'bbox'``) or of masks (``'segm'``).

    Returns:
        ``base_ap50, novel_ap50, all_ap50, base_ap, novel_ap, all_ap`` as fractions, NaN for a group in which no class
        has ground truth, and ``base_classes_with_gt, novel_classes_with_gt, all_classes_with_gt``, counts.

    Raises:
        UserError: a name of the vocabulary has no category, or a prediction is malformed or of an unknown id.
    """
    vocabulary = ov_coco_vocabulary() if vocabulary is None else vocabulary
    category_ids = category_ids_of(vocabulary.names, annotations['categories'])
    precision, _ = precision_and_recall(annotations, predictions, category_ids, iou_type, num_areas=1)
    return ov_coco_scores(precision[..., 0], vocabulary)


def ov_coco_scores(precision: np.ndarray, vocabulary: Vocabulary) -> dict[str, float]:
    """Return the scores of :func:`evaluate_ov_coco` from the (T, R, K) precision of the vocabulary's K names."""
    ap50, ap = precision[0].mean(axis=0), precision.mean(axis=(0, 1))  # (K,)
    groups = ov_coco_groups(vocabulary)
    scores: dict[str, float] = {}
    for metric, values in (('ap50', ap50), ('ap', ap)):
        for group, mask in groups.items():
            scores[f'{group}_{metric}'] = mean_of_known(values[mask])
    for group, mask in groups.items():
        scores[f'{group}_classes_with_gt'] = int(np.count_nonzero(~np.isnan(ap50[mask])))
    return scores


def ov_coco_groups(vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """Return (K,) bool for ``base``, ``novel`` and ``all`` of the names."""
    return {
        'base': vocabulary.base_mask,
        'novel': vocabulary.novel_mask,
        'all': np.ones(len(vocabulary), dtype=bool),
    }


def evaluate_coco(
    annotations: dict[str, Any],
    predictions: ResultTable | Sequence[dict[str, Any]],
    category_ids: Sequence[int],
    iou_type: str = 'bbox',
) -> dict[str, float]:
    """Score detections in COCO's way, without a split.

    Args:
        annotations: a COCO-form dict. It is not changed.
        predictions: a table or a COCO result list. It is not changed.
        category_ids: the categories that count.
        iou_type: ``'bbox'`` or ``'segm'``.

    Returns:
        ``AP, AP50, AP75, APs, APm, APl, AR@100`` as fractions, the means over the classes that have ground truth of
        that size; NaN where none has.

    Raises:
        UserError: a prediction is malformed or names an image or a category that the annotations do not have.
    """
    return coco_scores(*precision_and_recall(annotations, predictions, category_ids, iou_type))


def coco_scores(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """Return the scores of :func:`evaluate_coco` from a (T, R, K, A) precision and a (T, K, A) recall."""
    return average_precisions(precision) | {f'AR@{MAX_DETECTIONS}': mean_of_known(recall[..., 0])}


def average_precisions(precision: np.ndarray) -> dict[str, float]:
    """Return ``AP, AP50, AP75, APs, APm, APl`` of a (T, R, K, A) precision over ten thresholds and four area ranges."""
    scores = {'AP': mean_of_known(precision[..., 0])}
    scores |= {'AP50': mean_of_known(precision[0, ..., 0]), 'AP75': mean_of_known(precision[5, ..., 0])}
    return scores | {f'AP{area[0]}': mean_of_known(precision[..., i]) for i, area in enumerate(AREAS) if i}


def precision_and_recall(
    annotations: dict[str, Any],
    predictions: ResultTable | Sequence[dict[str, Any]],
    category_ids: Sequence[int],
    iou_type: str = 'bbox',
    max_detections: int = MAX_DETECTIONS,
    num_areas: int = len(AREAS),
) -> tuple[np.ndarray, np.ndarray]:
    """Match detections with ground truth at overlaps of 0.5, 0.55 ... 0.95.

    Args:
        annotations: a COCO-form dict.
        predictions: a table or a COCO result list.
        category_ids: the K categories, in the order of the result.
        iou_type: ``'bbox'`` or ``'segm'``.
        max_detections: how many of a class count in an image.
        num_areas: A, the first so many of ``AREAS``.

    Returns:
        precision at 101 recalls, (T, R, K, A), and the largest recall, (T, K, A); NaN without ground truth.

    Raises:
        UserError: a prediction is malformed or names an image or a category that the annotations do not have.
    """
    table = as_table(predictions, *ids_of(annotations), iou_type)
    ground_truth = GroundTruth.from_annotations(annotations, category_ids, iou_type)
    return measure(ground_truth, table, max_detections, num_areas)


def ids_of(annotations: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Return the ids of all images and of all categories, those that a prediction may name."""
    return [image['id'] for image in annotations['images']], [each['id'] for each in annotations['categories']]


def category_ids_of(names: Sequence[str], categories: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the category id of each name; ``aerosol can`` is LVIS's ``aerosol_can`` where nothing else is called so.

    Raises:
        UserError: a name that no category has, or a name that two categories share.
    """
    ids: dict[str, int] = {}
    for category in categories:
        if category['name'] in ids and category['name'] in names:
            raise UserError(f'annotations: two categories are named {category["name"]!r}')
        ids[category['name']] = category['id']
    for name in [each for each in ids if each not in names]:
        ids.setdefault(lvis_prompt_name(name), ids[name])
    missing = [name for name in names if name not in ids]
    if missing:
        shown = ', '.join(map(repr, missing[:5])) + (' ...' if len(missing) > 5 else '')
        raise UserError(
            f'annotations: {len(missing)} of {len(names)} class names have no category: {shown}; '
            'is this the split of this file?'
        )
    return [ids[name] for name in names]


def mean_of_known(values: np.ndarray) -> float:
    """Return the mean of what is not NaN, or NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float('nan')
