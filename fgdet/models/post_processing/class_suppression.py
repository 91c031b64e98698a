"""Non-maximum suppression over many classes, whose cost grows with what passes the threshold, not with the classes.

Axes: N boxes, K classes, P pairs of a box and a class, M detections.
"""

from collections.abc import Mapping
from typing import Any

import torch
from mmcv.ops import batched_nms
from torch import Tensor
from torchvision.ops import nms as hard_nms

#: Pairs that are looked at first for each detection that is wanted, and how many times more where they were too few.
FIRST_PAIRS, GROWTH = 10, 4


def suppress(
    boxes: Tensor,
    scores: Tensor,
    score_thr: float,
    nms: Mapping[str, Any] | None,
    max_num: int,
    class_agnostic: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The detections of mmdet's ``multiclass_nms``, for boxes that are the same for all classes.

    Nothing of N x K entries is made beside the comparison with the threshold, and hard suppression looks at the best
    pairs only, see :func:`_best_of_groups`.

    Args:
        boxes: (N, 4) xyxy; N may be 0.
        scores: (N, K).
        score_thr: only pairs above it.
        nms: ``iou_threshold`` and a ``type`` of mmcv's, ``nms`` (the default) or ``soft_nms`` with its further
            arguments. None: no suppression.
        max_num: detections at most; below 0: all.
        class_agnostic: a box suppresses worse ones of every class, so that a place has one name; as
            ``class_agnostic=True`` in ``nms``.

    Returns:
        boxes (M, 4), scores (M,) from the highest on and labels (M,) int64.
    """
    rows, labels = (scores > score_thr).nonzero(as_tuple=True)  # (P,)
    pairs = scores[rows, labels]
    limit = len(pairs) if max_num < 0 else min(max_num, len(pairs))
    settings = dict(nms or {})
    class_agnostic = settings.pop('class_agnostic', class_agnostic) or class_agnostic
    if not settings or not limit:
        kept_scores, kept = pairs.topk(limit)
    elif set(settings) <= {'type', 'iou_threshold'} and settings.get('type', 'nms') == 'nms':
        groups = torch.zeros_like(labels) if class_agnostic else labels
        kept = _best_of_groups(boxes, rows, groups, pairs, settings['iou_threshold'], limit)
        kept_scores = pairs[kept]
    else:
        found, kept = batched_nms(boxes[rows], pairs, labels, settings, class_agnostic)
        kept, kept_scores = kept[:limit], found[:limit, 4]
    return boxes[rows[kept]], kept_scores, labels[kept]


def _best_of_groups(
    boxes: Tensor, rows: Tensor, groups: Tensor, pairs: Tensor, iou_threshold: float, limit: int
) -> Tensor:
    """Indices of the first ``limit`` pairs that hard suppression leaves, the best first.

    Whether a pair stays depends on better pairs alone. So the best are looked at, and more of them until enough stay.
    Groups are held apart in double precision, which has room for any number of them.

    Args:
        boxes: (N, 4) xyxy.
        rows: (P,) the box of each pair.
        groups: (P,) only pairs of one group suppress each other.
        pairs: (P,) scores.
        iou_threshold: a pair goes when it overlaps a better one by more.
        limit: 1 to P.
    """
    extent = (boxes.max() - boxes.min() + 1).double()
    count = min(len(pairs), FIRST_PAIRS * limit)
    while True:
        best_scores, best = pairs.topk(count)
        apart = boxes[rows[best]].double() + groups[best, None] * extent
        kept = hard_nms(apart, best_scores.double(), iou_threshold)
        if count == len(pairs) or len(kept) >= limit:
            return best[kept[:limit]]
        count = min(len(pairs), GROWTH * count)
