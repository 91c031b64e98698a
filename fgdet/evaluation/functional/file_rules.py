"""Detections matched by the rules that the annotation file asks for: LVIS's or COCO's."""

from collections.abc import Sequence
from typing import Any

from fgdet.evaluation.functional import coco_detection, lvis_detection
from fgdet.evaluation.functional.detection_matches import Matches, match_detections
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import as_table


def is_lvis(annotations: dict[str, Any]) -> bool:
    """Whether images say which classes they were looked through for."""
    return any('neg_category_ids' in image for image in annotations['images'])


def match_by_file(
    annotations: dict[str, Any], predictions: ResultTable, category_ids: Sequence[int], iou_type: str = 'bbox'
) -> Matches:
    """Match in LVIS's way where the file is LVIS's, with the 300 best of an image; in COCO's way with 100 of a class.

    Args:
        annotations: a COCO-form or LVIS dict.
        predictions: what was found.
        category_ids: the K categories that count.
        iou_type: ``bbox`` or ``segm``.

    Raises:
        UserError: a prediction is malformed or of an unknown id.
    """
    if not is_lvis(annotations):
        return match_detections(annotations, predictions, category_ids, iou_type)
    table = lvis_detection.best_of_lvis(as_table(predictions, *coco_detection.ids_of(annotations), iou_type))
    return match_detections(annotations, table, category_ids, iou_type, max(len(table), 1), lvis_style=True)
