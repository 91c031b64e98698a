"""Scores of saved detections: files in, an evaluation out."""

from pathlib import Path

from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional import coco_detection
from fgdet.evaluation.results import load_annotations, load_results
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError


def evaluate_ov_coco(
    ann: str | Path, pred: str | Path, split: str | Path | None = None, iou_type: str = 'bbox'
) -> Evaluation:
    """AP50 and AP of base, novel and all classes.

    Args:
        ann: COCO-form annotation file; all its images count.
        pred: COCO result list.
        split: JSON with the lists ``base`` and ``novel``; None for the 48 and 17 classes of OV-COCO.
        iou_type: ``bbox`` or ``segm``.

    Returns:
        The scores of :func:`~fgdet.evaluation.functional.coco_detection.evaluate_ov_coco`.

    Raises:
        UserError: a file is missing or malformed.
    """
    vocabulary = Vocabulary.from_file(split) if split else None
    if vocabulary and not (vocabulary.base or vocabulary.novel):
        raise UserError(f'split file {split}: neither base nor novel names; give {{"base": [...], "novel": [...]}}')
    annotations, predictions = load_annotations(ann), load_results(pred)
    try:
        scores = coco_detection.evaluate_ov_coco(annotations, predictions, vocabulary, iou_type)
    except UserError as error:
        raise UserError(f'prediction file {pred}, annotation file {ann}: {error}') from error
    groups = ('base', 'novel', 'all')
    return Evaluation(
        name='ov-coco',
        protocol=f'COCO AP of {"boxes" if iou_type == "bbox" else "masks"}, 100 a class and image',
        scores=scores,
        inputs={'ann': str(ann), 'pred': str(pred), 'split': split and str(split), 'iou_type': iou_type},
        columns={group: {'AP50': f'{group}_ap50', 'AP': f'{group}_ap'} for group in groups},
    )
