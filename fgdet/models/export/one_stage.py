"""One-stage detectors as functions of tensors.

Axes: B images, H x W pixels, S cells of all levels, M chosen cells of an image, K names, N negative prompts.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fgdet.models.export.selection import Classes, select
from fgdet.models.export.suppression import best, rows_of


class ExportableOneStage(nn.Module):
    """What an ``OpenVocabularySingleStage`` predicts for images that fill the network's input.

    Args:
        detector: with a vocabulary in use.
    """

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) normalised pixels -> what :func:`~fgdet.models.export.selection.select` gives."""
        detector, head = self.detector, self.detector.bbox_head
        *taps, dense = detector.backbone(pixels)
        level_scores, level_boxes = head.scores_and_boxes(tuple(detector.neck(tuple(taps))))
        scores, boxes = torch.cat(level_scores, dim=1), torch.cat(level_boxes, dim=1)  # (B, S, K + N), (B, S, 4)
        height, width = pixels.shape[-2:]
        x, y = boxes[..., 0::2].clamp(min=0, max=width), boxes[..., 1::2].clamp(min=0, max=height)
        boxes = torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=2)
        classes = Classes(head.class_embeddings, head.is_trained, head.num_negatives)
        names = scores if not classes.num_negatives else scores[..., : -classes.num_negatives]
        values, places = best(names.amax(dim=2), head.test_cfg.max_cells)  # (B, M)
        has_area = (rows_of(boxes, places)[..., 2:] > rows_of(boxes, places)[..., :2]).all(dim=2)
        is_cell = ((values >= 0) & has_area)[..., None]
        patch = detector.backbone.visual.patch_size
        chosen = rows_of(scores, places) * is_cell
        return select(rows_of(boxes, places), chosen, dense, patch, classes, head.test_cfg)
