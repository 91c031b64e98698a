"""Two-stage detectors, with stages and masks, as functions of tensors.

Axes: B images, H x W pixels, A anchors of a level, P proposals of an image, R regions of all images, M detections of an
image, K classes, C channels, h x w cells of a mask.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from fgdet.models.export.selection import Classes, decode, select, with_image_index
from fgdet.models.export.suppression import OUT, best, rows_of, suppress


class ExportableTwoStage(nn.Module):
    """What an ``OpenVocabularyRCNN`` predicts.

    Args:
        detector: with a vocabulary in use.
    """

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector = detector
        masks = ('masks',) if detector.roi_head.with_mask else ()
        self.outputs = ('boxes', 'scores', 'labels', *masks)

    def forward(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        """Normalised pixels (B, 3, H, W), and height and width of each image in them (B, 2) -> what
        :func:`~fgdet.models.export.selection.select` gives, then the masks (B, M, h, w) in 0..1, each over its box, if
        there is a mask head."""
        detector = self.detector
        *taps, dense = detector.backbone(pixels)
        pyramid = detector.neck(tuple(taps))
        boxes, is_proposal = self._proposals(pyramid, sizes)
        heads = detector.roi_head.box_heads
        stage_logits = []
        for stage, head in enumerate(heads):
            outputs = self._stage(stage, pyramid, with_image_index(boxes))
            stage_logits.append(outputs['cls_score'])
            boxes = decode(head.bbox_coder, boxes, outputs['bbox_pred'].unflatten(0, boxes.shape[:2]), sizes)
        head = heads[-1]
        scores = head.probabilities(sum(stage_logits) / len(stage_logits)).unflatten(0, boxes.shape[:2])  # (B, P, K)
        classes = Classes(head.class_embeddings, head.is_trained, head.num_negatives)
        patch = detector.backbone.visual.patch_size
        found = select(boxes, scores * is_proposal[..., None], dense, patch, classes, detector.roi_head.test_cfg)
        return (*found, self._masks(pyramid, found[0])) if 'masks' in self.outputs else found

    def _proposals(self, pyramid: Sequence[Tensor], sizes: Tensor) -> tuple[Tensor, Tensor]:
        """mmdet's proposals: boxes (B, P, 4), and (B, P) bool, False for what only fills up."""
        head, cfg = self.detector.rpn_head, self.detector.rpn_head.test_cfg
        logits, deltas = head(pyramid)
        priors = head.prior_generator.grid_priors([each.shape[-2:] for each in logits], device=logits[0].device)
        boxes, scores = [], []
        for level_logits, level_deltas, level_priors in zip(logits, deltas, priors, strict=True):
            values, places = best(level_logits.permute(0, 2, 3, 1).flatten(1).sigmoid(), cfg.nms_pre)  # of (B, A)
            chosen = rows_of(level_deltas.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)), places)
            boxes.append(decode(head.bbox_coder, level_priors[places], chosen, sizes))
            is_large = (boxes[-1][..., 2:] - boxes[-1][..., :2] > cfg.min_bbox_size).all(dim=2)
            values = torch.where(is_large, values, OUT)[:, None]  # (B, 1, nms_pre)
            scores.append(suppress(boxes[-1], values, cfg.nms.iou_threshold, 0.0)[:, 0])
        values, places = best(torch.cat(scores, dim=1), cfg.max_per_img)
        return rows_of(torch.cat(boxes, dim=1), places), values >= 0

    def _stage(self, stage: int, pyramid: Sequence[Tensor], rois: Tensor) -> dict[str, Tensor]:
        """``cls_score`` and ``bbox_pred`` of one stage for (R, 5)."""
        roi_head = self.detector.roi_head
        extractor = _of_stage(roi_head.bbox_roi_extractor, stage)
        logits, deltas = _of_stage(roi_head.bbox_head, stage)(_pool(extractor, pyramid, rois))
        return {'cls_score': logits.float(), 'bbox_pred': deltas}

    def _masks(self, pyramid: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Boxes (B, M, 4) -> the mean of all stages' masks (B, M, h, w) in 0..1."""
        roi_head, rois = self.detector.roi_head, with_image_index(boxes)
        masks = []
        for stage in range(len(roi_head.box_heads)):
            pooled = _pool(_of_stage(roi_head.mask_roi_extractor, stage), pyramid, rois)
            masks.append(_of_stage(roi_head.mask_head, stage)(pooled)[:, 0].sigmoid())  # (B * M, h, w)
        return torch.stack(masks).mean(dim=0).unflatten(0, boxes.shape[:2])


def _of_stage(part: Any, stage: int) -> Any:
    """A part of a cascade has one for each stage."""
    return part[stage] if isinstance(part, nn.ModuleList) else part


def _pool(extractor: Any, pyramid: Sequence[Tensor], rois: Tensor) -> Tensor:
    """mmdet's choice of a level for each region, (R, C, p, p); all levels are pooled, as a graph has no choice."""
    levels = extractor.map_roi_levels(rois, extractor.num_inputs)  # (R,)
    pooled: Any = 0
    for level in range(extractor.num_inputs):
        layer, stride = extractor.roi_layers[level], extractor.featmap_strides[level]
        each = roi_align(pyramid[level], rois, layer.output_size, 1 / stride, layer.sampling_ratio, aligned=True)
        pooled = pooled + each * (levels == level)[:, None, None, None]
    return pooled
