"""What a report shows of detections beside their scores: classes, curves, mistakes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fgdet.apis.calibration_evaluation import bin_rows
from fgdet.evaluation.class_scores import ordered
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional import calibration_error, detection_mistakes
from fgdet.evaluation.functional.detection_matches import Matches
from fgdet.evaluation.functional.ground_truth import GroundTruth
from fgdet.evaluation.result_table import ResultTable
from fgdet.utils.image_paths import name_of_image

#: The classes of the lowest AP50 above 0 that have a curve of their own.
NUM_CLASS_CURVES = 5


def attach_details(
    evaluation: Evaluation,
    annotations: dict[str, Any],
    category_ids: Sequence[int],
    groups: Mapping[str, np.ndarray],
    precision: np.ndarray,
    iou_type: str = 'bbox',
    lvis_style: bool = False,
) -> None:
    """Set ``evaluation.classes`` and ``evaluation.curves``; cheap.

    Args:
        evaluation: of detections.
        annotations: a COCO-form dict.
        category_ids: the K categories.
        groups: (K,) bool for each group of classes that has a curve; a class's group is the first one but ``'all'``.
        precision: (T, R, K) at 101 recalls, NaN without ground truth; the first overlap is 0.5.
        iou_type: ``'bbox'`` or ``'segm'``.
        lvis_style: whether LVIS's rules say which objects count.
    """
    names = {each['id']: str(each['name']) for each in annotations['categories']}
    num_objects = GroundTruth.from_annotations(annotations, category_ids, iou_type, lvis_style).num_objects()
    ap50, ap = precision[0].mean(axis=0), precision.mean(axis=(0, 1))  # (K,)
    rows: list[dict[str, Any]] = []
    for index, number in enumerate(category_ids):
        group = next((name for name, mask in groups.items() if name != 'all' and mask[index]), None)
        row = {'name': names[number]} | ({'group': group} if group else {})
        rows.append(row | {'num_objects': int(num_objects[index]), 'ap50': float(ap50[index]), 'ap': float(ap[index])})
    evaluation.classes = rows
    known = ~np.isnan(ap50)
    evaluation.curves = {
        name: precision[0][:, mask & known].mean(axis=1) for name, mask in groups.items() if (mask & known).any()
    }
    place = {id(row): index for index, row in enumerate(rows)}
    found = [row for row in ordered(rows, 'ap50') if row['ap50'] > 0]
    for worst in found[:NUM_CLASS_CURVES]:
        evaluation.curves[f'{worst["name"]} ({worst["num_objects"]})'] = precision[0][:, place[id(worst)]]


def attach_mistakes(
    evaluation: Evaluation,
    annotations: dict[str, Any],
    predictions: ResultTable,
    make_matches: Callable[[], Matches],
    iou_type: str = 'bbox',
) -> None:
    """Let ``evaluation.add_details()`` find the mistakes, the missed objects, each class's best threshold and its
    missed objects, and bins of scores where all are 0..1.

    Args:
        evaluation: of detections, with its classes in the order of the categories that are matched.
        annotations: a COCO-form dict.
        predictions: what is matched.
        make_matches: called when the details are asked for.
        iou_type: ``'bbox'`` or ``'segm'``.
    """

    def add_details() -> None:
        matches = make_matches()
        found = detection_mistakes.find_mistakes(matches, predictions, annotations, iou_type=iou_type)
        missed = detection_mistakes.find_missed(matches, predictions, annotations, iou_type=iou_type)
        files = {each['id']: name_of_image(each) for each in annotations['images']}
        evaluation.mistakes = [each | {'file_name': files[each['image_id']]} for each in [*found, *missed]]
        for row, count in zip(evaluation.classes, detection_mistakes.count_missed(matches).tolist(), strict=True):
            row['num_missed'] = count
        if ((matches.scores >= 0) & (matches.scores <= 1)).all():
            judged = calibration_error.judged_detections(matches)
            evaluation.details['bins'] = bin_rows(judged)
            thresholds = calibration_error.class_thresholds(judged, min_objects=1)[1].tolist()
            for row, threshold in zip(evaluation.classes, thresholds, strict=True):
                row['threshold'] = threshold

    evaluation.add_details = add_details
