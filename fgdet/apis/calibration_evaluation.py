"""Calibration of saved detections, and thresholds of their scores as a vocabulary that a detector takes."""

from pathlib import Path
from typing import Any

from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional import calibration_error
from fgdet.evaluation.functional.calibration_error import Calibration, Judged
from fgdet.evaluation.functional.coco_detection import category_ids_of
from fgdet.evaluation.functional.file_rules import is_lvis, match_by_file
from fgdet.evaluation.results import load_annotations, load_results
from fgdet.structures.lvis_split import lvis_prompt_name
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json

_COLUMNS = {
    'error': {'all': 'ece', 'by class': 'class_ece', 'equal mass': 'equal_mass_ece', 'largest': 'mce'},
    'one threshold': {'F1': 'common_f1', 'precision': 'common_precision', 'recall': 'common_recall'},
    'each its own': {'F1': 'own_f1', 'precision': 'own_precision', 'recall': 'own_recall'},
}


def evaluate_calibration(
    ann: str | Path,
    pred: str | Path,
    vocab: str | Path | None = None,
    iou_type: str = 'bbox',
    bins: int = calibration_error.NUM_BINS,
    min_score: float = 0.0,
    min_objects: int = 10,
) -> Evaluation:
    """How far scores are from the share of right detections, and the scores from which on F1 is best.

    A detection is right when it is matched at an overlap of 0.5 by the rules of COCO; by those of LVIS where the file's
    images list ``neg_category_ids``.

    Args:
        ann: COCO-form or LVIS annotation file; all its images count.
        pred: COCO result list, best of a detector that was run with a low score threshold.
        vocab: ``ov_coco``, ``lvis_v1`` or a vocabulary file: the classes that count; None for all categories, which
            are called as in a prompt where they are LVIS's.
        iou_type: ``bbox`` or ``segm``.
        bins: how many, of equal width, and of equal numbers of detections.
        min_score: detections below are not looked at.
        min_objects: a class with fewer objects takes the common threshold.

    Returns:
        Scores ``ece, class_ece, equal_mass_ece, mce``, ``threshold`` (one for all classes), F1, precision and recall
        under it (``common_``) and under each class's own (``own_``), ``num_detections, num_objects``; the classes with
        ``f1``, ``ece`` and ``threshold``; and the ``bins`` in ``details``.

    Raises:
        UserError: a file is missing or malformed, a score is outside 0..1, or a name has no category.
    """
    if bins < 1:
        raise UserError(f'bins: expected 1 or more, got {bins}')
    annotations, table = load_annotations(ann, masks=iou_type == 'segm'), load_results(pred)
    names = [str(each['name']) for each in annotations['categories']]
    names = [lvis_prompt_name(name) for name in names] if is_lvis(annotations) else names
    names = names if vocab is None else list(Vocabulary.build(vocab).names)
    try:
        category_ids = category_ids_of(names, annotations['categories'])
        matches = match_by_file(annotations, table, category_ids, iou_type)
        found = calibration_error.measure_calibration(matches, bins, min_score, min_objects)
    except UserError as error:
        raise UserError(f'prediction file {pred}, annotation file {ann}: {error}') from error
    inputs = {'ann': str(ann), 'pred': str(pred), 'vocab': vocab and str(vocab), 'iou_type': iou_type, 'bins': bins}
    return Evaluation(
        name='calibration',
        protocol=(
            f'expected calibration error in {bins} bins of scores; right: matched at an overlap of 0.5 of '
            f'{"boxes" if iou_type == "bbox" else "masks"}'
        ),
        scores=found.scores,
        inputs=inputs | {'min_score': min_score, 'min_objects': min_objects},
        columns=_COLUMNS,
        classes=_class_rows(names, found),
        resampler=found.resampler,
        details={'bins': bin_rows(found.judged, bins)},
    )


def write_thresholds(path: str | Path, evaluation: Evaluation) -> None:
    """Write a vocabulary file of the classes' names and thresholds; what else a vocabulary has is left open.

    Args:
        path: a ``.json`` file, which ``fgdet detect --vocab`` takes.
        evaluation: of :func:`evaluate_calibration`.

    Raises:
        UserError: no detection is right, so that there is no threshold.
    """
    thresholds = {row['name']: row['threshold'] for row in evaluation.classes}
    write_json(path, calibration_error.threshold_vocabulary(thresholds))


def bin_rows(judged: Judged, bins: int = calibration_error.NUM_BINS) -> list[dict[str, Any]]:
    """Bins of scores of equal width, with their mean score and the share that is right; NaN where one is empty."""
    edges = calibration_error.equal_width_edges(bins)
    found = calibration_error.reliability(judged.scores, judged.right, edges)
    columns = zip(edges[:-1], edges[1:], found.counts, found.confidence, found.accuracy, strict=True)
    fields = ('low', 'high', 'num_detections', 'confidence', 'accuracy')
    return [dict(zip(fields, map(float, row), strict=True)) for row in columns]


def _class_rows(names: list[str], found: Calibration) -> list[dict[str, Any]]:
    f1 = calibration_error.class_f1(found.judged, found.limits)
    numbers = found.judged.num_objects, f1, found.resampler.class_errors(), found.limits
    return [
        {'name': name, 'num_objects': number, 'f1': of_class, 'ece': error, 'threshold': limit}
        for name, number, of_class, error, limit in zip(names, *(each.tolist() for each in numbers), strict=True)
    ]
