"""Both scores of FG-OVD: how often the right caption ranks first on a given box, and the benchmark's detection mAP.

Bianchi et al., "The Devil is in the Fine-Grained Details", CVPR 2024 (arXiv 2311.17518).

Axes: M lines (a box with its captions), S scores of all of them, N detections, V vocabularies, P detections of one of
them, K right captions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fgdet.evaluation.functional.coco_detection import ids_of, mean_of_known, precision_and_recall
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import as_table
from fgdet.utils.checks import UserError

#: Wrong captions in a vocabulary of the detection score.
NUM_NEGATIVES = 10
#: Detections of a vocabulary in an image that count, and the overlap above which a worse one goes.
MAX_DETECTIONS, MAX_OVERLAP = 100, 0.5

_VOCABULARIES_AT_ONCE = 64  # 64 x 100 x 100 overlaps: 5 MB


def rank_outcomes(scores: np.ndarray, group_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """On which boxes the right caption ranks first.

    As FG-CLIP evaluates it (arXiv 2505.05071), a line is correct where the right caption's score is the maximum, so
    that a tie with a wrong one counts as correct. A score that is no number is never correct.

    Args:
        scores: (S,), line after line, each line's right caption first.
        group_sizes: (M,) int, captions of each line, at least 1; they sum to S.

    Returns:
        (M,) bool: the right caption is the best, or one of the best; and (M,) bool: it alone is.
    """
    group_sizes = np.asarray(group_sizes, dtype=np.int64)
    if len(group_sizes) == 0:
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    starts = np.cumsum(group_sizes) - group_sizes
    right = scores[starts]  # (M,)
    is_best = right == np.maximum.reduceat(scores, starts)
    num_equal = np.add.reduceat(scores == np.repeat(right, group_sizes), starts, dtype=np.int64)
    return is_best, is_best & (num_equal == 1)


class CaptionScores(NamedTuple):
    """Average precision of each right caption, as fractions."""

    category_ids: np.ndarray  # (K,)
    image_ids: np.ndarray  # (K,) the image that it is in; in FG-OVD there is one
    ap: np.ndarray  # (K,) over overlaps of 0.5, 0.55 ... 0.95
    ap50: np.ndarray  # (K,)
    ap75: np.ndarray  # (K,)

    def means(self) -> dict[str, float]:
        """``map, map50, map75``; NaN without a caption."""
        return {'map': mean_of_known(self.ap), 'map50': mean_of_known(self.ap50), 'map75': mean_of_known(self.ap75)}


def evaluate_fg_ovd_detection(
    annotations: dict[str, Any],
    predictions: ResultTable,
    vocabularies: np.ndarray,
    num_negatives: int = NUM_NEGATIVES,
    only_predicted: bool = False,
) -> CaptionScores:
    """The benchmark's detection score: COCO's AP of each caption, detected among its own negatives.

    Section 3 of the paper, as its evaluation does it. A detector runs on an image once for each right caption in it,
    with the vocabulary of that caption and its first ``num_negatives`` negatives. Of each run count the 100 best
    detections; those that a better one of *any* caption of the vocabulary overlaps by more than 0.5 are left out, so
    that a wrong caption that scores higher on the object takes the right one away. Then COCO's AP, 100 a caption and
    image, is averaged over the right captions. Captions with fewer negatives are left out.

    Args:
        annotations: the COCO form of FG-OVD: ``neg_category_ids`` in each annotation.
        predictions: N detections; ``category_ids`` are captions.
        vocabularies: (N,) the right caption of the run that each comes from.
        num_negatives: at least 1.
        only_predicted: leave out captions whose run gave no detection.

    Raises:
        UserError: no caption has so many negatives, or a detection is malformed or of a run that there is not.
    """
    as_table(predictions, *ids_of(annotations))
    runs = vocabularies_of(annotations, num_negatives)
    _check_runs(predictions, vocabularies, runs)
    if only_predicted:
        seen = set(zip(predictions.image_ids.tolist(), vocabularies.tolist(), strict=True))
        runs = {key: captions for key, captions in runs.items() if key in seen}
    run_of = {key: index for index, key in enumerate(runs)}
    keys = zip(predictions.image_ids.tolist(), vocabularies.tolist(), strict=True)
    groups = np.array([run_of[key] for key in keys], dtype=np.int64)
    kept = predictions.select(best_of_runs(predictions.boxes, predictions.scores, groups))
    objects = [each for each in annotations['annotations'] if (each['image_id'], each['category_id']) in runs]
    image_of = {caption: image_id for image_id, caption in reversed(runs)}
    category_ids = sorted(image_of)
    with_runs = {image_id for image_id, _ in runs}
    ground_truth = annotations | {
        'annotations': objects,
        'images': [image for image in annotations['images'] if image['id'] in with_runs],
    }
    precision, _ = precision_and_recall(ground_truth, kept, category_ids, num_areas=1)  # (T, R, K, 1)
    precision = precision[..., 0].mean(axis=1)  # (T, K)
    image_ids = np.array([image_of[caption] for caption in category_ids], dtype=np.int64)
    return CaptionScores(
        np.array(category_ids, dtype=np.int64), image_ids, precision.mean(axis=0), precision[0], precision[5]
    )


def vocabularies_of(
    annotations: Mapping[str, Any], num_negatives: int = NUM_NEGATIVES
) -> dict[tuple[int, int], list[int]]:
    """The runs that the detection score needs: by image and right caption, that caption and its first negatives.

    Args:
        annotations: see :func:`evaluate_fg_ovd_detection`.
        num_negatives: captions with fewer are left out.

    Raises:
        UserError: no caption has so many negatives.
    """
    runs = {
        (each['image_id'], each['category_id']): [each['category_id'], *each['neg_category_ids'][:num_negatives]]
        for each in annotations['annotations']
        if len(each['neg_category_ids']) >= num_negatives
    }
    if not runs:
        most = max((len(each['neg_category_ids']) for each in annotations['annotations']), default=0)
        raise UserError(f'negatives: no caption has {num_negatives}, {most} at most; ask for fewer')
    return runs


def best_of_runs(boxes_xywh: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Which detections of each run are among its 100 best and not suppressed by a better one.

    Args:
        boxes_xywh: (N, 4).
        scores: (N,); of equal ones the first counts as better.
        groups: (N,) int from 0: the run of each.

    Returns:
        (N,) bool.
    """
    order = np.lexsort((-scores, groups))
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(order)) - starts[groups[order]]  # in its run, the best first
    kept = np.zeros(len(order), dtype=bool)
    for first in range(0, len(sizes), _VOCABULARIES_AT_ONCE):
        begin, end = starts[first], starts[first] + sizes[first : first + _VOCABULARIES_AT_ONCE].sum()
        rows, columns = order[begin:end], place[begin:end]
        rows, columns = rows[columns < MAX_DETECTIONS], columns[columns < MAX_DETECTIONS]
        padded = np.zeros((len(sizes[first : first + _VOCABULARIES_AT_ONCE]), MAX_DETECTIONS, 4))  # (V, P, 4)
        cells = groups[rows] - first, columns
        padded[cells] = boxes_xywh[rows]
        kept[rows] = _unsuppressed(padded)[cells]
    return kept


def _unsuppressed(boxes_xywh: np.ndarray) -> np.ndarray:
    """(V, P, 4), the best first -> (V, P) bool: overlapped by no better box that stays."""
    low, high = boxes_xywh[..., :2], boxes_xywh[..., :2] + boxes_xywh[..., 2:]
    corners = np.minimum(high[:, :, None], high[:, None]) - np.maximum(low[:, :, None], low[:, None])
    shared = corners.clip(min=0).prod(axis=-1)  # (V, P, P)
    area = boxes_xywh[..., 2:].prod(axis=-1)  # (V, P)
    overlaps = shared > MAX_OVERLAP * (area[:, :, None] + area[:, None] - shared)
    stays = np.ones(area.shape, dtype=bool)
    for better in range(boxes_xywh.shape[1] - 1):
        stays[:, better + 1 :] &= ~(stays[:, better, None] & overlaps[:, better, better + 1 :])
    return stays


def _check_runs(
    predictions: ResultTable, vocabularies: np.ndarray, runs: Mapping[tuple[int, int], Sequence[int]]
) -> None:
    if vocabularies.shape != (len(predictions),):
        raise ValueError(f'vocabularies: expected ({len(predictions)},), got {vocabularies.shape}')
    allowed = {(*key, caption) for key, captions in runs.items() for caption in captions}
    triples = zip(predictions.image_ids.tolist(), vocabularies.tolist(), predictions.category_ids.tolist(), strict=True)
    for position, triple in enumerate(triples):
        if triple not in allowed:
            image_id, vocabulary, caption = triple
            if (image_id, vocabulary) in runs:
                problem = f'category_id {caption} is not in the vocabulary of caption {vocabulary}'
            else:
                problem = f'image {image_id} has no run with the vocabulary of caption {vocabulary}'
            raise UserError(f'predictions[{position}]: {problem}; were they made with as many negatives?')
