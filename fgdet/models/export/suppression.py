"""Non-maximum suppression of whole batches as one operator, which has a counterpart of the same meaning in ONNX.

Axes: B images, N boxes of an image, C classes, M boxes that are kept.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms

#: What a score becomes that is out of the race; real ones are 0 to 1.
OUT = -1.0


@torch.library.custom_op('fgdet::batched_nms', mutates_args=())
def batched_nms(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:
    """Greedy suppression within each class of each image, all classes sharing the boxes.

    Args:
        boxes: (B, N, 4) xyxy.
        scores: (B, C, N).
        iou_threshold: a box that overlaps a better one of its class by more than this is dropped.
        score_threshold: boxes at or below it are no candidates.

    Returns:
        (M, 3) int64: image, class and box of what is kept, in no order that callers may rely on.
    """
    kept = [boxes.new_zeros((0, 3), dtype=torch.int64)]
    for image, class_scores in enumerate(scores):
        for label, each in enumerate(class_scores):
            candidates = (each > score_threshold).nonzero()[:, 0]
            rows = candidates[nms(boxes[image, candidates], each[candidates], iou_threshold)]
            kept.append(torch.stack([torch.full_like(rows, image), torch.full_like(rows, label), rows], dim=1))
    return torch.cat(kept)


@batched_nms.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:
    count = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((count, 3), dtype=torch.int64)


def onnx_translations() -> dict[Any, Any]:
    """What :func:`torch.onnx.export` needs, as ``custom_translation_table``, to write the operator down.

    Raises:
        ImportError: onnxscript is not installed.
    """
    from onnxscript import opset18

    def translate(boxes: Any, scores: Any, iou_threshold: float, score_threshold: float) -> Any:
        no_limit: Any = opset18.Constant(value_ints=[2**31 - 1])
        iou: Any = opset18.Constant(value_floats=[iou_threshold])
        score: Any = opset18.Constant(value_floats=[score_threshold])
        return opset18.NonMaxSuppression(boxes, scores, no_limit, iou, score)

    return {torch.ops.fgdet.batched_nms.default: translate}


def suppress(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:
    """Scores of the boxes that :func:`batched_nms` keeps; ``OUT`` for all others.

    Args:
        boxes: (B, N, 4) xyxy.
        scores: (B, C, N).
        iou_threshold: see there.
        score_threshold: see there.

    Returns:
        (B, C, N).
    """
    image, label, box = batched_nms(boxes, scores, iou_threshold, score_threshold).unbind(dim=1)  # (M,) each
    return torch.full_like(scores, OUT).index_put((image, label, box), scores[image, label, box])


def best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest scores of each row and their places, however many there are.

    Args:
        scores: (B, N) 0 to 1, or ``OUT``; N may be less than ``count``.
        count: how many are wanted.

    Returns:
        two (B, count): scores from the highest on, and places; ``OUT`` at place 0 where there are no more.
    """
    values, places = F.pad(scores, (0, count), value=OUT).topk(count, dim=-1)
    return values, torch.where(values >= 0, places, 0)


def rows_of(values: Tensor, places: Tensor) -> Tensor:
    """(B, N, C) and (B, M) places in 0..N-1 -> (B, M, C)."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[2]))


def cells_of(levels: Sequence[Tensor]) -> Tensor:
    """(B, C, h, w) of each level -> (B, S, C), rows of the first level first."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)
