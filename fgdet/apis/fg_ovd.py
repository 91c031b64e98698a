"""Both scores of FG-OVD, of a checkpoint or of saved predictions."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.apis.fg_ovd_detection import caption_scores, load_fg_ovd_detector, predict_detections
from fgdet.apis.fg_ovd_predictions import FGOVDPrediction, read_predictions, write_predictions
from fgdet.apis.fg_ovd_ranks import predict_ranks, ranked_lines
from fgdet.apis.region_encoding import RegionEncoder, Report
from fgdet.apis.saved_predictions import with_saved
from fgdet.datasets.fg_ovd import FGOVDSubset, find_images, read_fg_ovd
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional.coco_detection import mean_of_known
from fgdet.evaluation.functional.fg_ovd import MAX_DETECTIONS, MAX_OVERLAP, NUM_NEGATIVES, CaptionScores
from fgdet.evaluation.resampling import MeanResampler
from fgdet.utils.checks import UserError
from fgdet.utils.files import check_output_file

#: Each protocol with the field that its saved predictions have beside those of a COCO result list.
PROTOCOLS = {'rank': 'line', 'detection': 'vocabulary'}


def evaluate_fg_ovd(
    ann: str | Path | Sequence[str | Path],
    protocol: str = 'rank',
    pred: str | Path | None = None,
    checkpoint: str | Path | None = None,
    images: str | Path | None = None,
    save_pred: str | Path | None = None,
    skip_missing: bool = False,
    negatives: int = NUM_NEGATIVES,
    mode: str = 'roi',
    batch_size: int = 8,
    device: str = 'auto',
    report: Report | None = None,
) -> Evaluation:
    """How often the right caption of a box wins over its negatives, or the benchmark's detection mAP.

    ``rank``: on each given box the right caption must have FG-CLIP's highest similarity among its captions, see
    :func:`~fgdet.evaluation.functional.fg_ovd.rank_outcomes`. ``detection``: a detector looks for each right caption
    among its negatives, see :func:`~fgdet.evaluation.functional.fg_ovd.evaluate_fg_ovd_detection`.

    Args:
        ann: one or several files of FG-OVD, see :func:`~fgdet.datasets.fg_ovd.read_fg_ovd`; each is a difficulty.
        protocol: ``rank`` or ``detection``.
        pred: predictions that ``save_pred`` wrote; None needs a checkpoint.
        checkpoint: FG-CLIP or CLIP weights; a detector's ``.pth`` for ``detection``.
        images: folder that the paths in the files start from.
        save_pred: where to write what was predicted.
        skip_missing: leave out lines without an image, and of saved predictions lines that none is of.
        negatives: ``detection``: wrong captions in a vocabulary; captions with fewer are left out.
        mode: ``rank``: ``roi`` pools boxes from the image's dense map, ``crop`` encodes them cut out.
        batch_size: ``rank``: images, or crops, at once.
        device: as for :class:`~fgdet.apis.region_encoding.RegionEncoder`.
        report: told after each image.

    Returns:
        rank: for each difficulty ``hard``, a fraction; ``hard_strict``, the same where a tie counts as wrong; and
        ``hard_lines``, a count. detection: ``hard_map, hard_map50, hard_map75`` and ``hard_captions``, a count.

    Raises:
        UserError: a file is missing or malformed, an option is out of range, or neither or both of ``pred`` and
            ``checkpoint`` are given.
    """
    _check(protocol, pred, checkpoint, images, save_pred, negatives)
    ann = [ann] if isinstance(ann, str | Path) else ann
    subsets = read_fg_ovd(ann)
    inputs: dict[str, Any] = dict(ann=[str(path) for path in ann], protocol=protocol, skip_missing=skip_missing)
    inputs['negatives'] = negatives
    if images is not None:
        inputs['images'] = str(images)
    if checkpoint is None:
        predictions, where = read_predictions(pred or '', PROTOCOLS[protocol]), f'prediction file {pred}'
        inputs['pred'] = str(pred)
    else:
        where, files = 'predictions', find_images(subsets, images or '', skip_missing)
        if protocol == 'rank':
            encoder = RegionEncoder(checkpoint, device, batch_size, mode)
            predictions = predict_ranks(subsets, encoder, files, report)
        else:
            detector = load_fg_ovd_detector(checkpoint, device)
            predictions = predict_detections(subsets, detector, files, negatives, report)
        inputs |= dict(checkpoint=str(checkpoint), mode=mode)
    save = None if save_pred is None else partial(write_predictions, save_pred, predictions)
    if save_pred is not None:
        inputs['save_pred'] = str(save_pred)
    score = _rank_evaluation if protocol == 'rank' else _detection_evaluation
    return with_saved(score(subsets, predictions, inputs, where), save)


def _check(
    protocol: str,
    pred: str | Path | None,
    checkpoint: str | Path | None,
    images: str | Path | None,
    save_pred: str | Path | None,
    negatives: int,
) -> None:
    if protocol not in PROTOCOLS:
        raise UserError(f'protocol: expected one of {", ".join(PROTOCOLS)}, got {protocol!r}')
    if negatives < 1:
        raise UserError(f'negatives: expected at least 1, got {negatives}')
    if (pred is None) == (checkpoint is None) or (checkpoint is not None and images is None):
        raise UserError('fg-ovd: give either --pred, or --checkpoint and --images')
    if save_pred is not None:
        if checkpoint is None:
            raise UserError('fg-ovd: --save-pred goes with --checkpoint; --pred is such a file already')
        check_output_file(save_pred, '--save-pred')


def _rank_evaluation(
    subsets: Sequence[FGOVDSubset], predictions: Sequence[FGOVDPrediction], inputs: dict[str, Any], where: str
) -> Evaluation:
    ranked = ranked_lines(subsets, predictions, inputs['skip_missing'], where)
    scores: dict[str, float] = {}
    columns: dict[str, dict[str, str]] = {}
    values: dict[str, dict[str, np.ndarray]] = {}
    has_ties = False
    for name, lines in ranked.items():
        best, alone = lines.outcomes()
        values[name] = {name: best, f'{name}_strict': alone}
        scores |= {key: mean_of_known(each) for key, each in values[name].items()} | {f'{name}_lines': len(best)}
        columns[name] = {'accuracy': name, 'ties wrong': f'{name}_strict', 'boxes': f'{name}_lines'}
        has_ties |= bool((best != alone).any())
    if not has_ties:
        columns = {name: {'accuracy': name, 'boxes': f'{name}_lines'} for name in ranked}
    evaluation = Evaluation(
        name='fg-ovd',
        protocol='FG-OVD rank accuracy as FG-CLIP evaluates it: boxes whose right caption scores highest among its '
        'negatives, a tie counts as right',
        scores=scores,
        inputs=inputs,
        columns=columns,
        resampler=_resampler({name: [line.image_id for line in each.lines] for name, each in ranked.items()}, values),
    )

    def add_details() -> None:
        evaluation.mistakes = [mistake for lines in ranked.values() for mistake in lines.mistakes()]

    evaluation.add_details = add_details
    return evaluation


def _detection_evaluation(
    subsets: Sequence[FGOVDSubset], predictions: Sequence[FGOVDPrediction], inputs: dict[str, Any], where: str
) -> Evaluation:
    negatives = inputs['negatives']
    by_subset = caption_scores(subsets, predictions, negatives, inputs['skip_missing'], where)
    scores: dict[str, float] = {}
    columns: dict[str, dict[str, str]] = {}
    values: dict[str, dict[str, np.ndarray]] = {}
    for name, found in by_subset.items():
        scores |= {f'{name}_{key}': value for key, value in found.means().items()}
        scores[f'{name}_captions'] = len(found.ap)
        values[name] = {f'{name}_map': found.ap, f'{name}_map50': found.ap50, f'{name}_map75': found.ap75}
        shown = {'mAP': 'map', 'mAP50': 'map50', 'mAP75': 'map75', 'captions': 'captions'}
        columns[name] = {column: f'{name}_{key}' for column, key in shown.items()}
    return Evaluation(
        name='fg-ovd',
        protocol=f'FG-OVD detection mAP: each caption among its first {negatives} negatives, NMS across captions at '
        f"{MAX_OVERLAP}, {MAX_DETECTIONS} a vocabulary, AP of boxes as COCO's, mean over right captions",
        scores=scores,
        inputs=inputs,
        columns=columns,
        classes=[row for subset in subsets for row in _rows(subset, by_subset[subset.name])],
        resampler=_resampler({name: each.image_ids.tolist() for name, each in by_subset.items()}, values),
    )


def _rows(subset: FGOVDSubset, found: CaptionScores) -> list[dict[str, Any]]:
    """Captions as rows of a report."""
    names = {line.category_ids[0]: line.captions[0] for line in subset.lines}
    return [
        {'name': names[number], 'group': subset.name, 'ap50': ap50, 'ap': ap}
        for number, ap50, ap in zip(found.category_ids.tolist(), found.ap50.tolist(), found.ap.tolist(), strict=True)
    ]


def _resampler(images: dict[str, list[int]], values: dict[str, dict[str, np.ndarray]]) -> MeanResampler:
    """Scores as means over lines or captions, drawn by their images.

    Args:
        images: of each subset, the image of each of its items.
        values: of each subset, one value an item by the score's name.
    """
    items = np.array([image for of_subset in images.values() for image in of_subset], dtype=np.int64)
    image_ids, index = np.unique(items, return_inverse=True)
    owner = np.repeat(list(images), [len(of_subset) for of_subset in images.values()])
    columns = {}
    for subset, of_subset in values.items():
        for name, numbers in of_subset.items():
            columns[name] = np.full(len(items), np.nan)
            columns[name][owner == subset] = numbers
    return MeanResampler(image_ids, columns, index)
