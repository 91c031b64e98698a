"""The last step of every exported detector: what ``ScoreEnsemble`` of ``post_processing`` does, for whole batches.

Axes: B images, H x W pixels, N regions of an image, K classes, M detections of an image, d dimension of an embedding,
P side of a patch, h x w patches.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from fgdet.models.export.suppression import best, rows_of, suppress
from fgdet.models.post_processing.negative_prompts import without_negatives
from fgdet.models.post_processing.score_ensemble import ensemble_scores
from fgdet.utils.checks import UserError


class Classes(NamedTuple):
    """What a head was given by ``set_classes``."""

    embeddings: Tensor  # (K, d)
    is_trained: Tensor  # (K,) bool
    num_negatives: int


def select(
    boxes: Tensor, detector: Tensor, dense: Tensor, patch: int, classes: Classes, test_cfg: Mapping[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Join both scores, drop what a negative prompt fits better, suppress, and choose.

    Args:
        boxes: (B, N, 4) xyxy in pixels of the network's input.
        detector: (B, N, K) in 0..1; 0 for a region that is none.
        dense: (B, d, h, w), covers the network's input.
        patch: P, pixels of a cell of it.
        classes: of the head.
        test_cfg: see :meth:`fgdet.models.post_processing.region_scores.ScoreEnsemble.forward`.

    Returns:
        boxes (B, M, 4), scores (B, M) from the highest on and labels (B, M) int64, with M ``max_per_img``; where an
        image has fewer, scores are -1, and boxes and labels mean nothing.
    """
    scores = detector
    weights = test_cfg.get('score_ensemble')
    if weights is not None:
        features = roi_align(dense, with_image_index(boxes), 1, 1 / patch, 0, aligned=True)[..., 0, 0]  # (B * N, d)
        cosines = F.normalize(features, dim=1) @ classes.embeddings.T
        frozen = (cosines / weights['temperature']).softmax(dim=1).unflatten(0, boxes.shape[:2])  # (B, N, K)
        scores = ensemble_scores(detector, frozen, classes.is_trained, weights['alpha'], weights['beta'])
    scores = without_negatives(scores, classes.num_negatives).transpose(1, 2)  # (B, K, N)
    kept, labels = _suppressed(boxes, scores, test_cfg)
    values, places = best(kept.flatten(1), test_cfg['max_per_img'])  # (B, M)
    rows = places % boxes.shape[1]
    if labels is None:
        return rows_of(boxes, rows), values, places // boxes.shape[1]
    return rows_of(boxes, rows), values, labels.gather(1, rows)


def _suppressed(boxes: Tensor, scores: Tensor, test_cfg: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """Scores (B, K, N), those of what is dropped below 0; or (B, 1, N) with labels (B, N), where a box has one name."""
    threshold, nms = test_cfg.get('score_thr', 0.0), dict(test_cfg.get('nms') or {})
    agnostic = nms.pop('class_agnostic', False) or test_cfg.get('class_agnostic_nms', False)
    if not nms:
        return torch.where(scores > threshold, scores, -1.0), None
    if nms.pop('type', 'nms') != 'nms' or set(nms) != {'iou_threshold'}:
        raise UserError(f"test_cfg nms: expected type='nms' and an iou_threshold to export, got {test_cfg['nms']}")
    if not agnostic:
        return suppress(boxes, scores, nms['iou_threshold'], threshold), None
    values, labels = scores.max(dim=1)  # a worse name of a box always falls to its best one
    return suppress(boxes, values[:, None], nms['iou_threshold'], threshold), labels


def with_image_index(boxes: Tensor) -> Tensor:
    """(B, N, 4) -> (B * N, 5), the number of the image first."""
    images = torch.arange(boxes.shape[0], device=boxes.device, dtype=boxes.dtype)
    return torch.cat([images[:, None, None].expand(-1, boxes.shape[1], 1), boxes], dim=2).flatten(0, 1)


def decode(coder: Any, priors: Tensor, deltas: Tensor, sizes: Tensor) -> Tensor:
    """Boxes inside of their image.

    Args:
        coder: mmdet's codec.
        priors: (B, N, 4) xyxy.
        deltas: (B, N, 4).
        sizes: (B, 2) height and width of each image, in pixels of the network's input.

    Returns:
        (B, N, 4) xyxy.
    """
    boxes = coder.decode(priors.flatten(0, 1), deltas.flatten(0, 1)).unflatten(0, priors.shape[:2])
    return boxes.clamp(min=0).minimum(xyxy_limits(sizes).to(boxes)[:, None])


def xyxy_limits(sizes: Tensor) -> Tensor:
    """Heights and widths (B, 2) -> (B, 4), the largest x, y, x and y."""
    return sizes.flip(1).repeat(1, 2)
