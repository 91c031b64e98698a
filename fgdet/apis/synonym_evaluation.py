"""Synonym robustness: the AP50 that a detector loses when its classes are named in other words."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.apis.region_encoding import Report
from fgdet.apis.saved_predictions import with_saved
from fgdet.apis.synonym_detection import detect_under_words, synonym_variants
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional.coco_detection import category_ids_of
from fgdet.evaluation.functional.detection_matches import Matches
from fgdet.evaluation.functional.file_rules import is_lvis, match_by_file
from fgdet.evaluation.functional.synonym_robustness import SynonymResampler
from fgdet.evaluation.result_files import write_result_list
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import load_annotations, load_results
from fgdet.structures.lvis_split import lvis_prompt_name
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError


def evaluate_synonyms(
    ann: str | Path,
    pred: str | Path | None = None,
    pred_synonyms: Sequence[str | Path] = (),
    vocab: str | Path | None = None,
    iou_type: str = 'bbox',
    checkpoint: str | Path | None = None,
    images: str | Path | None = None,
    config: str | Path | None = None,
    variant: int | None = None,
    save_pred: str | Path | None = None,
    device: str = 'auto',
    report: Report | None = None,
) -> Evaluation:
    """AP50 under the names and under their synonyms, and the drop from one to the other.

    Args:
        ann: COCO-form or LVIS annotation file; all its images count.
        pred: COCO result list of what was found under the names.
        pred_synonyms: the same under synonyms; category ids are those of the names. The mean counts where there are
            several.
        vocab: classes that count, base and novel ones, synonyms: ``ov_coco``, ``lvis_v1`` or a vocabulary file; None
            takes the categories of ``ann``, with the synonyms that an LVIS file has.
        iou_type: ``bbox`` or ``segm``.
        checkpoint: a detector's ``.pth``, to be run in the place of ``pred`` and ``pred_synonyms``.
        images: folder of the images, for ``checkpoint``.
        config: of the detector; None takes the one that is stored in the checkpoint.
        variant: see :func:`~fgdet.apis.synonym_detection.synonym_variants`; None is the mean of all.
        save_pred: a ``.json`` file for what was found under the names; the others are beside it, see
            :func:`saved_files`.
        device: as of torch.
        report: told after each image.

    Returns:
        Scores ``all_ap50, all_synonym_ap50, all_drop``, the same for ``base`` and ``novel`` where the vocabulary has
        them, and for ``renamed``, the classes that have synonyms, where others have none; classes with ``ap50,
        synonym_ap50, drop``. Fractions, NaN for a group without objects.

    Raises:
        UserError: a file is missing or malformed, or neither or both of predictions and checkpoint are given.
    """
    _check_sources(pred, pred_synonyms, checkpoint, images, save_pred)
    annotations = load_annotations(ann, masks=iou_type == 'segm')
    vocabulary = _categories(ann, is_lvis(annotations)) if vocab is None else Vocabulary.build(vocab)
    inputs: dict[str, Any] = dict(ann=str(ann), vocab=vocab and str(vocab), iou_type=iou_type)
    save = None
    if checkpoint is not None and images is not None:
        variants = synonym_variants(vocabulary, variant)
        found = detect_under_words(annotations, images, checkpoint, config, vocabulary, variants, device, report)
        inputs |= dict(checkpoint=str(checkpoint), images=str(images), config=config and str(config), variant=variant)
        places = ['the names', *(f'synonyms {number}' for number in range(1, len(found)))]
        if save_pred is not None:
            places = [str(path) for path in saved_files(save_pred, len(variants))]
            save = partial(_write_all, places, found)
            inputs |= dict(save_pred=places[0], save_pred_synonyms=places[1:])
    else:
        places = [str(pred), *map(str, pred_synonyms)]
        found = [load_results(path) for path in places]
        inputs |= dict(pred=places[0], pred_synonyms=places[1:])
        variants = []
    matches = [
        _match(annotations, table, vocabulary, iou_type, f'prediction file {place}, annotation file {ann}')
        for table, place in zip(found, places, strict=True)
    ]
    return with_saved(_evaluation(annotations, vocabulary, matches, inputs, variants), save)


def _write_all(places: Sequence[str], tables: Sequence[ResultTable]) -> None:
    for path, table in zip(places, tables, strict=True):
        write_result_list(path, table)


def saved_files(path: str | Path, number: int) -> list[Path]:
    """The files of the names and of so many variants: ``p.json``, ``p_synonyms_1.json``, ``p_synonyms_2.json`` ..."""
    path = Path(path)
    return [path, *(path.with_name(f'{path.stem}_synonyms_{v}{path.suffix}') for v in range(1, number + 1))]


def _categories(ann: str | Path, are_lvis: bool) -> Vocabulary:
    """The categories of a file with their synonyms; LVIS's without the underscores that no prompt has."""
    found = Vocabulary.from_coco(ann)
    if not are_lvis:
        return found
    synonyms = {lvis_prompt_name(name): list(map(lvis_prompt_name, words)) for name, words in found.synonyms.items()}
    return Vocabulary(list(map(lvis_prompt_name, found.names)), synonyms=synonyms)


def _check_sources(pred: Any, pred_synonyms: Sequence[Any], checkpoint: Any, images: Any, save_pred: Any) -> None:
    if (checkpoint is None) != (images is None) or (pred is None) == (checkpoint is None):
        raise UserError('synonyms: give --pred and --pred-synonyms, or --checkpoint with --images')
    if (pred is None) != (not pred_synonyms):
        raise UserError('synonyms: --pred and --pred-synonyms go together')
    if pred is not None and save_pred is not None:
        raise UserError('synonyms: --save-pred goes with --checkpoint; --pred is such a file already')


def _match(
    annotations: dict[str, Any], table: ResultTable, vocabulary: Vocabulary, iou_type: str, where: str
) -> Matches:
    try:
        category_ids = category_ids_of(vocabulary.names, annotations['categories'])
        return match_by_file(annotations, table, category_ids, iou_type)
    except UserError as error:
        raise UserError(f'{where}: {error}') from error


def _evaluation(
    annotations: dict[str, Any],
    vocabulary: Vocabulary,
    matches: Sequence[Matches],
    inputs: dict[str, Any],
    variants: Sequence[dict[str, str]],
) -> Evaluation:
    names = vocabulary.names
    renamed = set().union(*variants) if variants else set(vocabulary.synonyms)
    groups = {'base': vocabulary.base_mask, 'novel': vocabulary.novel_mask}
    groups = {group: members for group, members in groups.items() if members.any()}
    if 0 < len(renamed) < len(names):
        groups['renamed'] = np.array([name in renamed for name in names], dtype=bool)
    groups['all'] = np.ones(len(names), dtype=bool)
    run = SynonymResampler(matches[0], matches[1:], groups)
    ones = np.ones(len(run.image_ids), dtype=np.int64)
    number = len(matches) - 1
    rules = 'LVIS' if is_lvis(annotations) else 'COCO'
    return Evaluation(
        name='synonyms',
        protocol=(
            f'{rules} AP50 of {"boxes" if inputs["iou_type"] == "bbox" else "masks"} under the names, and under '
            f'{"their synonyms" if number == 1 else f"{number} choices of their synonyms, the mean"}'
        ),
        scores=run.scores(ones),
        inputs=inputs,
        columns={
            group: {'names': f'{group}_ap50', 'synonyms': f'{group}_synonym_ap50', 'drop': f'{group}_drop'}
            for group in groups
        },
        classes=_class_rows(vocabulary, matches[0], run.class_scores(ones), variants),
        resampler=run,
    )


def _class_rows(
    vocabulary: Vocabulary,
    matches: Matches,
    scores: tuple[np.ndarray, np.ndarray],
    variants: Sequence[dict[str, str]],
) -> list[dict[str, Any]]:
    num_objects = np.bincount(matches.object_classes, minlength=len(vocabulary))
    groups = {name: group for group in ('base', 'novel') for name in getattr(vocabulary, group)}
    rows = []
    for name, count, before, after in zip(vocabulary.names, num_objects.tolist(), *scores, strict=True):
        row: dict[str, Any] = {'name': name} | ({'group': groups[name]} if name in groups else {})
        row |= {
            'num_objects': count,
            'synonym_ap50': float(after),
            'ap50': float(before),
            'drop': float(before - after),
        }
        words = list(dict.fromkeys(words[name] for words in variants if name in words))
        rows.append(row | ({'synonyms': words} if words else {}))
    return rows
