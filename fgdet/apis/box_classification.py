"""Box classification: how well FG-CLIP names the annotated boxes of a COCO-form file.

The protocol of FG-CLIP (arXiv 2505.05071, table "bounding box classification"): every box is given, and its features
are compared with the names of all classes in 80 prompts.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fgdet.apis.region_encoding import RegionEncoder, Report
from fgdet.apis.saved_predictions import with_saved
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional.box_classification import (
    Answers,
    BoxRanks,
    GivenBoxes,
    best_classes,
    category_groups,
    read_answers,
)
from fgdet.evaluation.functional.coco_detection import category_ids_of
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import load_annotations, load_results
from fgdet.structures.lvis_split import lvis_prompt_name
from fgdet.structures.prompt_templates import read_templates
from fgdet.structures.vocabulary import Vocabulary, ov_coco_vocabulary
from fgdet.utils.checks import UserError
from fgdet.utils.files import whole_file
from fgdet.utils.image_paths import locate_images, name_of_image, names_of_images

#: Wrong answers that a page may show, the most confident ones.
NUM_MISTAKES = 200


class EncodingSettings(NamedTuple):
    """How boxes and names become vectors."""

    mode: str = 'roi'  # or 'crop', see RegionEncoder
    templates: str = 'openai'  # 'simple', 'none' or a file, see read_templates
    image_size: int | None = None  # side in pixels; None: the one stored with the weights
    batch_size: int = 8
    device: str = 'auto'


def evaluate_box_classification(
    ann: str | Path,
    pred: str | Path | None = None,
    checkpoint: str | Path | None = None,
    images: str | Path | None = None,
    settings: EncodingSettings | None = None,
    *,
    save_pred: str | Path | None = None,
    split: str | Path | None = None,
    limit: int | None = None,
    crowd: bool = False,
    report: Report | None = None,
) -> Evaluation:
    """Top-1 and top-5 over boxes and over classes: of a saved result list, or of a checkpoint.

    Args:
        ann: COCO-form annotation file; boxes of no area are left out, and so are crowds unless ``crowd``.
        pred: COCO result list of the annotated boxes, each with its best classes; None where a checkpoint is given.
        checkpoint: FG-CLIP or CLIP weights.
        images: folder of the images.
        settings: of the checkpoint.
        save_pred: where to write the five best classes of each box; scored again, they give the same numbers.
        split: JSON with the lists ``base`` and ``novel``, or ``ov-coco``; None: what the categories of ``ann`` say.
        limit: only the first so many images.
        crowd: whether boxes around crowds count, as they do in FG-CLIP's own evaluation.
        report: told after each image.

    Raises:
        UserError: neither or both of predictions and checkpoint; a file is missing or malformed; no box is left; or a
            name of the split is no category.
    """
    _check_sources(pred, checkpoint, images, save_pred)
    annotations, settings = load_annotations(ann), settings or EncodingSettings()
    groups = _groups(annotations['categories'], split)
    given = GivenBoxes.from_annotations(annotations, limit, crowd)
    if not len(given):
        raise UserError(f'annotation file {ann}: it has no box that counts')
    inputs: dict[str, Any] = dict(ann=str(ann), split=split and str(split), limit=limit, crowd=crowd)
    save = None
    if checkpoint is not None and images is not None:
        inputs |= dict(checkpoint=str(checkpoint), images=str(images), **settings._asdict())
        table = classify_boxes(annotations, given, checkpoint, images, settings, report)
        if save_pred is not None:
            save = partial(save_results, save_pred, table, given)
            inputs['save_pred'] = str(save_pred)
    elif pred is not None:
        inputs['pred'] = str(pred)
        table = load_results(pred)
    try:
        answers = read_answers(annotations, given, table)
    except UserError as error:
        raise UserError(f'prediction file {pred}, annotation file {ann}: {error}') from error
    return with_saved(_evaluation(annotations, given, answers, groups, inputs), save)


def _check_sources(pred: Any, checkpoint: Any, images: Any, save_pred: Any) -> None:
    if (pred is None) == (checkpoint is None) or (checkpoint is None) != (images is None):
        raise UserError('box-classification: give --pred, or --checkpoint with --images')
    if pred is not None and save_pred is not None:
        raise UserError('box-classification: --save-pred goes with --checkpoint; --pred is such a file already')


def _evaluation(
    annotations: dict[str, Any],
    given: GivenBoxes,
    answers: Answers,
    groups: Mapping[str, np.ndarray],
    inputs: dict[str, Any],
) -> Evaluation:
    names = [category['name'] for category in annotations['categories']]
    run = BoxRanks(given.image_ids, given.images, given.classes, answers.ranks, len(names), groups)
    counts = dict(
        num_boxes=len(given),
        num_images=len(np.unique(given.images)),
        num_crowd=given.num_crowd,
        num_no_area=given.num_no_area,
        num_unpredicted=int((answers.best < 0).sum()),
    )
    how = {'roi': 'RoI features', 'crop': 'crops', None: 'saved predictions'}[inputs.get('mode')]
    notes = [
        f'{counts[name]} {what}'
        for name, what in (
            ('num_crowd', 'boxes around crowds left out'),
            ('num_no_area', 'boxes of no area left out'),
            ('num_unpredicted', 'boxes without a prediction count as wrong'),
        )
        if counts[name]
    ]
    boxes = f'{len(given)} given boxes of {counts["num_images"]} images'
    evaluation = Evaluation(
        name='box-classification',
        protocol='; '.join([f'Accuracy on {boxes} among {len(names)} classes, {how}', *notes]),
        scores=run.scores() | counts,
        inputs=inputs,
        columns={group: _columns(group) for group in ('all', *groups)},
        classes=run.class_rows(names),
        resampler=run,
    )

    def add_details() -> None:
        files = {image['id']: name_of_image(image) for image in annotations['images']}
        mistakes = answers.mistakes(given, names, NUM_MISTAKES)
        evaluation.mistakes = [each | {'file_name': files[each['image_id']]} for each in mistakes]

    evaluation.add_details = add_details
    return evaluation


def classify_boxes(
    annotations: Mapping[str, Any],
    given: GivenBoxes,
    checkpoint: str | Path,
    images: str | Path,
    settings: EncodingSettings,
    report: Report | None = None,
) -> ResultTable:
    """The five best classes of each box by FG-CLIP, box by box.

    Raises:
        UserError: the weights or an image cannot be read, or a template is none.
    """
    templates = read_templates(settings.templates)
    files = locate_images(images, names_of_images(annotations['images'][: len(given.image_ids)]))
    encoder = RegionEncoder(checkpoint, settings.device, settings.batch_size, settings.mode, settings.image_size)
    names = [lvis_prompt_name(category['name']) for category in annotations['categories']]
    class_features = encoder.encode_class_texts(names, templates)
    best, probabilities = [], []
    for features in encoder.encode(files, given.of_images(), report):
        of_image = best_classes(features, class_features)
        best.append(of_image[0])
        probabilities.append(of_image[1])
    return given.results(np.concatenate(best), np.concatenate(probabilities))


def save_results(path: str | Path, table: ResultTable, given: GivenBoxes) -> None:
    """Write a result list in which each entry also names the annotation that it is of."""
    each = len(table) // len(given)
    entries = zip(table.to_entries(), np.repeat(given.annotation_ids, each).tolist(), strict=True)
    with whole_file(path) as file:
        before = '['
        for entry, number in entries:
            file.write(f'{before}{json.dumps(entry | {"annotation_id": number})}'.encode())
            before = ',\n'
        file.write(b']\n')


def _groups(categories: Sequence[Mapping[str, Any]], split: str | Path | None) -> dict[str, np.ndarray]:
    """Which categories are in each group that has any, (K,) bool.

    Raises:
        UserError: the split has no names, or one that is no category: a group's scores are of all its classes.
    """
    groups = category_groups(categories)
    if split is not None:
        vocabulary = ov_coco_vocabulary() if str(split) == 'ov-coco' else Vocabulary.from_file(split)
        if not (vocabulary.base or vocabulary.novel):
            raise UserError(f'split {split}: neither base nor novel names; give {{"base": [...], "novel": [...]}}')
        ids = np.array([category['id'] for category in categories])
        for group, names in (('base', vocabulary.base), ('novel', vocabulary.novel)):
            try:
                groups[group] = np.isin(ids, category_ids_of(names, categories))
            except UserError as error:
                raise UserError(f'split {split}: {group}: {error}') from error
    return {group: members for group, members in groups.items() if members.any()}


def _columns(group: str) -> dict[str, str]:
    start = '' if group == 'all' else f'{group}_'
    names = {'top-1': 'top1', 'top-5': 'top5', 'class top-1': 'class_top1', 'class top-5': 'class_top5'}
    return {column: start + name for column, name in names.items()}
