"""Non-maximum suppression with the signatures of mmcv's C++ bindings: hard (torchvision's kernel) and soft.

Soft-NMS: Bodla et al., "Soft-NMS: Improving Object Detection With One Line of Code", https://arxiv.org/abs/1704.04503,
section 3.

Axes: N boxes.
"""

import torch
import torchvision
from torch import Tensor

from fgdet.compat.precision import widen

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2  # mmcv's codes of the soft methods


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes kept, by falling score.

    Args:
        boxes: (N, 4) xyxy, any unit.
        scores: (N,).
        iou_threshold: a box goes when its overlap with a better one is above this.
        offset: 0, or 1 where x2 and y2 are the last pixels inside, so that a width is x2 - x1 + 1.

    Returns:
        (M,) int64; empty for no boxes.
    """
    boxes = widen(boxes)
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)  # (N, 4)
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Decay the scores of overlapping boxes instead of dropping them (paper, equations 1 to 3).

    One step takes the best remaining box and multiplies the others' scores by 0 (naive) or 1 - IoU (linear) where the
    IoU reaches ``iou_threshold``, or everywhere by exp(-IoU^2 / sigma) (gaussian); below ``min_score`` a box is out.

    Args:
        boxes: (N, 4) xyxy, any unit.
        scores: (N,).
        dets: (N, 5) output: its first M rows become the boxes and their decayed scores.
        iou_threshold: where the naive and linear decay begin.
        sigma: width of the gaussian decay.
        min_score: remaining boxes below it are dropped; the best box of all stays in any case, as in mmcv.
        method: 0 naive, 1 linear, 2 gaussian.
        offset: 0 or 1, as in :func:`nms`.

    Returns:
        (M,) int64 indices in the order in which they were taken.
    """
    boxes, scores = widen(boxes), widen(scores)
    edges = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)  # (N, 4), ends exclusive
    left = torch.arange(boxes.shape[0], device=boxes.device)
    left_scores = scores.clone()
    kept, kept_scores = [], []
    while left.numel():
        best = left_scores.argmax()
        kept.append(left[best])
        kept_scores.append(left_scores[best])
        overlap = _iou(edges[left[best]], edges[left])
        left_scores = left_scores * _decay(overlap, iou_threshold, sigma, method)
        stays = left_scores >= min_score
        stays[best] = False
        left, left_scores = left[stays], left_scores[stays]
    if not kept:
        return left
    order = torch.stack(kept)
    dets[: len(kept), :4] = boxes[order].to(dets.dtype)
    dets[: len(kept), 4] = torch.stack(kept_scores).to(dets.dtype)
    return order


def _decay(overlap: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    """The factor on each score, in 0..1."""
    if method == GAUSSIAN:
        return torch.exp(-(overlap**2) / sigma)
    if method not in (NAIVE, LINEAR):
        raise ValueError(f'method of soft-NMS: got {method}; choose 0 (naive), 1 (linear) or 2 (gaussian)')
    reached = torch.zeros_like(overlap) if method == NAIVE else 1 - overlap
    return torch.where(overlap >= iou_threshold, reached, torch.ones_like(overlap))


def _iou(box: Tensor, boxes: Tensor) -> Tensor:
    """IoU of one box (4,) with boxes (N, 4): (N,), NaN where both are empty, which decays nothing."""
    sides = (torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])).clamp(min=0)  # (N, 2)
    shared = sides.prod(dim=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return shared / ((box[2:] - box[:2]).prod() + areas - shared)
