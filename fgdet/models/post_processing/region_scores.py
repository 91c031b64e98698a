"""The last step of every head: two opinions of each region become detections.

Axes: B images, N regions of one image, K names and N negative prompts in the columns of scores, M detections of one
image, d dimension of an embedding, h x w patches.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from mmcv.ops import batched_nms
from mmengine.structures import InstanceData
from torch import Tensor, nn

from fgdet.models.post_processing.negative_prompts import without_negatives
from fgdet.models.post_processing.score_ensemble import ensemble_scores
from fgdet.ops.roi_align import region_pool


class RegionScores(NamedTuple):
    """What is known of the regions of one image before anything is chosen.

    Args:
        boxes: (N, 4) xyxy in pixels of the network's input, refined and inside of the image; N may be 0.
        detector: (N, K) in 0..1, the trained head's probability, all of it (the mean of a cascade's stages, a sigmoid
            times its centerness), without a column for the background.
        cosines: (N, K), of the region in the dense map of the frozen tower and each class, see :func:`region_cosines`;
            None for a head that is configured without ``score_ensemble``.
    """

    boxes: Tensor
    detector: Tensor
    cosines: Tensor | None


class ScoreEnsemble(nn.Module):
    """Joins both scores, drops what a negative prompt fits better, and chooses: all of ``predict`` that has no weights.

    Every head ends its predictions in one, so that what goes in can be recorded by a forward hook and chosen from again
    with other settings: a sweep gives exactly what the detector would.
    """

    def forward(
        self,
        regions: Sequence[RegionScores],
        is_trained: Tensor,
        num_negatives: int,
        test_cfg: Mapping[str, Any],
        batch_img_metas: Sequence[Mapping[str, Any]],
        rescale: bool,
    ) -> list[InstanceData]:
        """Detections of each image.

        Args:
            regions: of each image.
            is_trained: (K,) bool, True for a class with boxes in training.
            num_negatives: how many of the last classes compete but are never reported.
            test_cfg: ``score_thr`` (detections are above it), ``nms`` (mmcv's config with ``class_agnostic`` if wished;
                None or absent: no suppression, as for a DINO), ``max_per_img``, and ``score_ensemble`` with ``alpha``,
                ``beta`` and ``temperature`` (None or absent: the head's own scores).
            batch_img_metas: for each image its ``scale_factor`` (w, h), looked at with ``rescale`` only.
            rescale: return boxes in pixels of the original image.

        Returns:
            for each image ``bboxes`` (M, 4) xyxy, ``scores`` (M,) from the highest on and ``labels`` (M,).
        """
        results = []
        for each, meta in zip(regions, batch_img_metas, strict=True):
            scores = join_scores(each, is_trained, test_cfg.get('score_ensemble'))
            boxes = each.boxes
            if rescale:
                boxes = boxes / boxes.new_tensor(meta['scale_factor']).repeat(2)
            found = select_detections(
                boxes,
                without_negatives(scores, num_negatives),
                test_cfg['score_thr'],
                test_cfg.get('nms'),
                test_cfg['max_per_img'],
            )
            results.append(InstanceData(bboxes=found[0], scores=found[1], labels=found[2]))
        return results


def join_scores(regions: RegionScores, is_trained: Tensor, weights: Mapping[str, float] | None) -> Tensor:
    """The scores of one image's regions, (N, K) in 0..1; without ``weights``, the detector's."""
    if weights is None:
        return regions.detector
    assert regions.cosines is not None
    frozen = (regions.cosines / weights['temperature']).softmax(dim=1)  # (N, K)
    return ensemble_scores(regions.detector, frozen, is_trained, weights['alpha'], weights['beta'])


def region_cosines(
    dense: Tensor, boxes: Sequence[Tensor], class_embeddings: Tensor, input_hw: tuple[int, int]
) -> tuple[Tensor, ...]:
    """What the frozen tower says of each region: the cosine with every class.

    Args:
        dense: (B, d, h, w), the map that covers the network's input.
        boxes: for each image (N, 4) xyxy in pixels of the network's input.
        class_embeddings: (K, d), of length 1.
        input_hw: height and width of the network's input in pixels, padding included (``batch_input_shape``).

    Returns:
        for each image (N, K) float32; zeros for a box without area.
    """
    features = region_pool(dense, list(boxes), spatial_scale=dense.shape[-1] / input_hw[1])[..., 0, 0]  # (sum N, d)
    cosines = F.normalize(features.float(), dim=1) @ class_embeddings.float().T
    return cosines.split([len(each) for each in boxes])


def select_detections(
    boxes: Tensor, scores: Tensor, score_thr: float, nms: Mapping[str, Any] | None, max_per_img: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best pairs of a region and a class, suppressed class by class.

    What is kept of one class does not depend on the scores of another, but for the limit ``max_per_img``.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N, K).
        score_thr: pairs must be above.
        nms: mmcv's config, such as ``dict(type='nms', iou_threshold=0.5)``; with ``class_agnostic=True`` classes
            suppress each other; None: all pairs stay.
        max_per_img: at most so many pairs are kept; below 0, all.

    Returns:
        boxes (M, 4), scores (M,) from the highest on, and labels (M,).
    """
    flat, limit = scores.flatten(), max_per_img if max_per_img >= 0 else scores.numel()  # (N * K,)
    chosen = (flat > score_thr).nonzero()[:, 0]
    if not nms:
        order = flat[chosen].sort(descending=True, stable=True).indices[:limit]
        kept, kept_scores = chosen[order], flat[chosen[order]]
    elif not len(chosen):
        kept, kept_scores = chosen, flat[chosen]
    else:
        region, labels = chosen // scores.shape[1], chosen % scores.shape[1]
        candidates = boxes[region]
        if not nms.get('class_agnostic', False):  # boxes of different classes are moved apart
            candidates = candidates + (labels * (boxes.max() + 1))[:, None]
        found, order = batched_nms(candidates, flat[chosen], labels, dict(nms, class_agnostic=True))
        kept, kept_scores = chosen[order[:limit]], found[:limit, 4]
    return boxes[kept // scores.shape[1]], kept_scores, kept % scores.shape[1]
