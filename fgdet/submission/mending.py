"""What can be mended in detections without guessing what was meant.

Axis letter: N detections.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from fgdet.submission.candidates import EMPTY, Candidates
from fgdet.submission.image_info import ImageInfo
from fgdet.submission.validation import outside

#: How far a score may stand out of [0, 1] by the rounding of single-precision sums.
_SCORE_TOLERANCE = 1e-6

#: The share of boxes outside of their image from which on they may be meant as corners.
_CORNERS_SHARE = 0.1


def mend(candidates: Candidates, info: ImageInfo, max_per_image: int) -> tuple[Candidates, dict[str, int]]:
    """Clip, drop and sort what is safe; the rest stays as it is, for the next check to refuse.

    Dropped are detections of images that the info file lacks, of a negative size, without area, the lower scored of two
    equal ones and those beyond the best of an image. Boxes are clipped to their image, scores to [0, 1] where they miss
    it by rounding alone. What is left is in the order of image ids and falling scores; ties keep their order. Boxes are
    left alone where they read as corners x1, y1, x2, y2.

    Returns:
        the mended detections, and how many of them each thing was done to.
    """
    table, done = candidates.table, dict[str, int]()
    kept = np.ones(len(candidates), dtype=bool)

    def drop(flags: Any, kind: str) -> None:
        if num := int(np.count_nonzero(kept & flags)):
            done[f'dropped, {kind}'] = num
            kept[flags] = False

    drop(~candidates.known, 'unknown image')
    if candidates.mask_states is None:
        drop((table.boxes[:, 2:] < 0).any(axis=1), 'negative size')
        table = replace(table, boxes=_clipped_boxes(candidates, info, kept, done))
        drop((np.round(table.boxes[:, 2:], 2) == 0).any(axis=1), 'no area')
    else:
        drop(candidates.mask_states == EMPTY, 'no area')
    table = replace(table, scores=_clipped_scores(table.scores, kept, done))
    mended = replace(candidates, table=table)

    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(-table.scores[rows], kind='stable')]
    repeated = mended.repeated(rows)
    _count(done, 'dropped, duplicate', repeated)
    rows = rows[~repeated]
    beyond = _ranks(candidates.image_index[rows]) >= max_per_image
    _count(done, 'dropped, too many in an image', beyond)
    rows = rows[~beyond]
    rows = rows[np.argsort(candidates.image_index[rows], kind='stable')]
    if (np.diff(rows) < 0).any():
        done['sorted by image and score'] = len(rows)
    return mended.select(rows), done


def are_corners(candidates: Candidates, info: ImageInfo) -> bool:
    """Tell whether boxes read as x1, y1, x2, y2: many stand out of their images as widths, none as corners."""
    boxes = candidates.table.boxes
    finite = np.isfinite(boxes).all(axis=1) & candidates.known
    if np.count_nonzero(outside(candidates, info) & finite) <= _CORNERS_SHARE * len(candidates):
        return False
    limits = info.sizes_wh[candidates.image_index[finite]] + 1
    corners = boxes[finite]
    return bool((corners[:, 2:] > corners[:, :2]).all() and (corners[:, 2:] <= limits).all())


def _clipped_boxes(candidates: Candidates, info: ImageInfo, kept: np.ndarray, done: dict[str, int]) -> np.ndarray:
    """Return the boxes (N, 4), those that are kept inside of their images; the given ones where none changes."""
    boxes = candidates.table.boxes
    rows = np.flatnonzero(outside(candidates, info) & kept & np.isfinite(boxes).all(axis=1))
    if not len(rows) or are_corners(candidates, info):
        return boxes
    done['clipped, box outside the image'] = len(rows)
    limits = info.sizes_wh[candidates.image_index[rows]]
    low = np.clip(boxes[rows, :2], 0, limits)
    high = np.clip(boxes[rows, :2] + boxes[rows, 2:], 0, limits)
    boxes = boxes.copy()
    boxes[rows] = np.concatenate([low, high - low], axis=1)
    return boxes


def _clipped_scores(scores: np.ndarray, kept: np.ndarray, done: dict[str, int]) -> np.ndarray:
    clipped = np.clip(scores, 0, 1)
    near = (clipped != scores) & (np.abs(clipped - scores) <= _SCORE_TOLERANCE)
    _count(done, 'clipped, score outside [0, 1]', near & kept)
    return np.where(near, clipped, scores)


def _count(done: dict[str, int], what: str, flags: np.ndarray) -> None:
    if num := int(np.count_nonzero(flags)):
        done[what] = num


def _ranks(image_index: np.ndarray) -> np.ndarray:
    """Return how many earlier rows of its image each row (N,) has."""
    order = np.argsort(image_index, kind='stable')
    counts = np.bincount(image_index, minlength=1)
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks
