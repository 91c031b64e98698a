"""Scores of saved detections: files in, an evaluation out."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.apis.evaluation_details import attach_details, attach_mistakes
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional import coco_detection, lvis_detection
from fgdet.evaluation.functional.coco_evaluator import AREAS
from fgdet.evaluation.functional.detection_matches import AveragePrecisionResampler, Matches, match_detections
from fgdet.evaluation.functional.image_subset import annotated_image_ids, on_images
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import as_table, load_annotations, load_results
from fgdet.structures.vocabulary import Vocabulary, ov_coco_vocabulary
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_text

_SHAPES = {'bbox': 'boxes', 'segm': 'masks'}
_COCO_LIMIT = f'{coco_detection.MAX_DETECTIONS} best a class and image'
_GROUPS = ('base', 'novel', 'all')
#: Scores over all classes for a resampler: the group, the measure and the range of area.
_PRECISIONS = {name: ('all', name.lower(), 'all') for name in ('AP', 'AP50', 'AP75')} | {
    f'AP{area[0]}': ('all', 'ap', area) for area in AREAS[1:]
}
_FREQUENCIES = {'rare': 'r', 'common': 'c', 'frequent': 'f'}


@dataclass(frozen=True)
class _Run:
    """What is scored: annotations, checked predictions, and what to say of the images."""

    annotations: dict[str, Any]
    table: ResultTable
    images: str
    left_out: dict[str, float]


def evaluate_ov_coco(
    ann: str | Path,
    pred: str | Path,
    split: str | Path | None = None,
    iou_type: str = 'bbox',
    annotated_images_only: bool = False,
    image_ids: str | Path | None = None,
) -> Evaluation:
    """AP50 and AP of base, novel and all classes.

    Args:
        ann: COCO-form annotation file.
        pred: COCO result list.
        split: JSON with the lists ``base`` and ``novel``; None for the 48 and 17 classes of OV-COCO. ``all`` are both.
        iou_type: ``bbox`` or ``segm``.
        annotated_images_only: count only images that have an object of the split, as OV-COCO's own file of 4,836 images
            does; what was found on the others is left out.
        image_ids: see :func:`read_image_ids`; None counts all images.

    Returns:
        The scores of :func:`~fgdet.evaluation.functional.coco_detection.evaluate_ov_coco`.

    Raises:
        UserError: a file is missing or malformed, or names what the annotations do not have.
    """
    vocabulary = Vocabulary.from_file(split) if split else ov_coco_vocabulary()
    if not (vocabulary.base or vocabulary.novel):
        raise UserError(f'split file {split}: neither base nor novel names; give {{"base": [...], "novel": [...]}}')
    with _naming(ann, pred):
        run = _read(ann, pred, iou_type, image_ids)
        category_ids = coco_detection.category_ids_of(vocabulary.names, run.annotations['categories'])
        if annotated_images_only:
            run = _restricted(run, annotated_image_ids(run.annotations, category_ids), ' with an object of the split')
        precision, _ = coco_detection.precision_and_recall(
            run.annotations, run.table, category_ids, iou_type, num_areas=1
        )
    groups = coco_detection.ov_coco_groups(vocabulary)
    sizes = f'{len(vocabulary.base)} base and {len(vocabulary.novel)} novel of {len(vocabulary)} classes'
    evaluation = Evaluation(
        name='ov-coco',
        protocol=f'{"COCO" if split else "OV-COCO"} AP of {_SHAPES[iou_type]}, {sizes}, {run.images}, {_COCO_LIMIT}',
        scores=coco_detection.ov_coco_scores(precision[..., 0], vocabulary) | run.left_out,
        inputs=_inputs(ann, pred, iou_type, image_ids)
        | {'split': split and str(split), 'annotated_images_only': annotated_images_only},
        columns={group: {'AP50': f'{group}_ap50', 'AP': f'{group}_ap'} for group in _GROUPS},
    )
    names = {f'{group}_{measure}': (group, measure, 'all') for group in _GROUPS for measure in ('ap50', 'ap')}
    _complete(evaluation, run, category_ids, groups, names, precision, coco_detection.MAX_DETECTIONS)
    return evaluation


def evaluate_coco(
    ann: str | Path, pred: str | Path, iou_type: str = 'bbox', image_ids: str | Path | None = None
) -> Evaluation:
    """COCO's AP over all categories of a COCO-form file.

    Masks are small, medium or large by their own areas, also where entries have boxes as well: ``loadRes`` of the
    official tools takes the areas of the boxes then, which is why other toolboxes take the boxes out before.

    Args:
        ann: COCO-form annotation file.
        pred: COCO result list.
        iou_type: ``bbox`` or ``segm``.
        image_ids: see :func:`read_image_ids`; None counts all images.

    Returns:
        The scores of :func:`~fgdet.evaluation.functional.coco_detection.evaluate_coco`.

    Raises:
        UserError: a file is missing or malformed, or names what the annotations do not have.
    """
    with _naming(ann, pred):
        run = _read(ann, pred, iou_type, image_ids)
        category_ids = [each['id'] for each in run.annotations['categories']]
        precision, recall = coco_detection.precision_and_recall(run.annotations, run.table, category_ids, iou_type)
    scores = coco_detection.coco_scores(precision, recall)
    evaluation = Evaluation(
        name='coco',
        protocol=f'COCO AP of {_SHAPES[iou_type]}, {len(category_ids):,} classes, {run.images}, {_COCO_LIMIT}',
        scores=scores | run.left_out,
        inputs=_inputs(ann, pred, iou_type, image_ids),
        columns={'all': {name: name for name in scores}},
    )
    groups = {'all': np.ones(len(category_ids), dtype=bool)}
    names = _PRECISIONS | {f'AR@{coco_detection.MAX_DETECTIONS}': ('all', 'ar', 'all')}
    _complete(evaluation, run, category_ids, groups, names, precision, coco_detection.MAX_DETECTIONS)
    return evaluation


def evaluate_lvis(
    ann: str | Path,
    pred: str | Path,
    iou_type: str = 'bbox',
    fixed_ap: bool = False,
    image_ids: str | Path | None = None,
) -> Evaluation:
    """LVIS's AP, rare, common and frequent classes apart; or Fixed AP.

    Args:
        ann: LVIS annotation file, v0.5 or v1.
        pred: COCO result list.
        iou_type: ``bbox`` or ``segm``.
        fixed_ap: the 10,000 best detections of a class over the data set count, not the 300 best of an image.
        image_ids: see :func:`read_image_ids`, such as minival's annotation file; None counts all images.

    Returns:
        The scores of :func:`~fgdet.evaluation.functional.lvis_detection.evaluate_lvis`; for Fixed AP also ``Fixed AP``,
        the same as ``AP``, and ``classes_below_limit``, of how many classes there are fewer than 10,000 detections.

    Raises:
        UserError: a file is missing or malformed, or names what the annotations do not have.
    """
    with _naming(ann, pred):
        run = _read(ann, pred, iou_type, image_ids)
        frequency = lvis_detection.frequencies_of(run.annotations)
        run = replace(run, table=lvis_detection.best_of_lvis(run.table, fixed_ap))
        precision, recall = lvis_detection.lvis_precision_and_recall(run.annotations, run.table, iou_type)
    category_ids = [each['id'] for each in run.annotations['categories']]
    scores = lvis_detection.lvis_scores(precision, recall, frequency)
    kind, limit = 'LVIS AP', f'{lvis_detection.MAX_DETECTIONS} best an image'
    if fixed_ap:
        kind, limit = 'Fixed AP (Dave et al. 2021)', f'{lvis_detection.FIXED_DETECTIONS:,} best a class, any an image'
        scores = {'Fixed AP': scores['AP']} | {n: value for n, value in scores.items() if not n.startswith('AR')}
        _, counts = np.unique(run.table.category_ids, return_counts=True)
        filled = np.count_nonzero(counts >= lvis_detection.FIXED_DETECTIONS)
        scores['classes_below_limit'] = len(category_ids) - int(filled)
    shown = {name: name for name in scores if name.startswith(('AP', 'AR')) and name[2:] not in _FREQUENCIES.values()}
    evaluation = Evaluation(
        name='lvis',
        protocol=f'{kind} of {_SHAPES[iou_type]}, {len(category_ids):,} classes, {run.images}, {limit}, a class only '
        'where it was looked for',
        scores=scores | run.left_out,
        inputs=_inputs(ann, pred, iou_type, image_ids) | {'fixed_ap': fixed_ap},
        columns={'Fixed AP' if fixed_ap else 'all': shown}
        | {name: {'AP': f'AP{letter}'} for name, letter in _FREQUENCIES.items()},
    )
    groups = {name: frequency == letter for name, letter in _FREQUENCIES.items()}
    groups |= {'base': frequency != 'r', 'all': np.ones(len(category_ids), dtype=bool)}
    names = _PRECISIONS | {f'AP{letter}': (name, 'ap', 'all') for name, letter in _FREQUENCIES.items()}
    names |= {'base_ap': ('base', 'ap', 'all'), 'novel_ap': ('rare', 'ap', 'all'), 'Fixed AP': names['AP']}
    names |= {f'AR{area[0] if i else ""}@300': ('all', 'ar', area) for i, area in enumerate(AREAS)}
    names = {name: each for name, each in names.items() if name in scores}
    _complete(evaluation, run, category_ids, groups, names, precision, max(len(run.table), 1), lvis_style=True)
    return evaluation


def read_image_ids(path: str | Path) -> list[int]:
    """Read which images count: a JSON list of ids, a COCO-form file whose ``images`` they are, or one id a line.

    Raises:
        UserError: no such file, none of these forms, or no id.
    """
    text = read_text(path, 'image ids')
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        content = [int(line) if line.strip().lstrip('-').isdecimal() else line for line in text.split()]
    if isinstance(content, dict):
        images = content.get('images')
        content = [each.get('id') for each in images if isinstance(each, dict)] if isinstance(images, list) else None
    ids = [content] if isinstance(content, int) else content
    if not isinstance(ids, list) or not ids:
        raise UserError(f'image ids {path}: expected a JSON list, one id a line, or a COCO-form file with images')
    wrong = [each for each in ids if not isinstance(each, int) or isinstance(each, bool)]
    if wrong:
        raise UserError(f'image ids {path}: expected integers, got {wrong[0]!r:.80}')
    return ids


def _read(ann: str | Path, pred: str | Path, iou_type: str, image_ids: str | Path | None) -> _Run:
    """Read what is scored: all predictions are checked, then those on other images are left out."""
    annotations = load_annotations(ann, masks=iou_type == 'segm')
    table = as_table(load_results(pred), *coco_detection.ids_of(annotations), iou_type)
    run = _Run(annotations, table, f'{len(annotations["images"]):,} images', {})
    return run if image_ids is None else _restricted(run, read_image_ids(image_ids), '')


def _restricted(run: _Run, image_ids: Collection[int], which: str) -> _Run:
    annotations, table = on_images(run.annotations, run.table, image_ids)
    left_out = run.left_out.get('predictions_left_out', 0) + len(run.table) - len(table)
    images = f'{len(annotations["images"]):,} of {run.images}{which} (predictions on others left out)'
    return _Run(annotations, table, images, {'predictions_left_out': left_out})


def _inputs(ann: str | Path, pred: str | Path, iou_type: str, image_ids: str | Path | None) -> dict[str, Any]:
    return {
        'ann': str(ann),
        'pred': str(pred),
        'iou_type': iou_type,
        'image_ids': None if image_ids is None else str(image_ids),
    }


def _complete(
    evaluation: Evaluation,
    run: _Run,
    category_ids: list[int],
    groups: Mapping[str, np.ndarray],
    names: Mapping[str, tuple[str, str, str]],
    precision: np.ndarray,
    max_detections: int,
    lvis_style: bool = False,
) -> None:
    """Add classes, curves, and what is matched only when it is asked for: mistakes and other draws of the images."""
    iou_type = evaluation.inputs['iou_type']
    attach_details(evaluation, run.annotations, category_ids, groups, precision[..., 0], iou_type, lvis_style)

    def matches(area: str) -> Matches:
        arguments = run.annotations, run.table, category_ids, iou_type, max_detections, lvis_style
        return match_detections(*arguments, area)

    of_all_areas = cache(lambda: matches('all'))
    attach_mistakes(evaluation, run.annotations, run.table, of_all_areas, iou_type)
    image_ids = [image['id'] for image in run.annotations['images']]
    evaluation.resampler = AveragePrecisionResampler(
        lambda area: of_all_areas() if area == 'all' else matches(area), image_ids, groups, names
    )


@contextmanager
def _naming(ann: str | Path, pred: str | Path) -> Iterator[None]:
    """Name the files in an error that does not."""
    try:
        yield
    except UserError as error:
        if str(ann) in str(error) or str(pred) in str(error):
            raise
        raise UserError(f'prediction file {pred}, annotation file {ann}: {error}') from error
