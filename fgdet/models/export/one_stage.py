"""One-stage detectors as functions of tensors.

Axes: B images, H x W pixels, S cells of all levels, M chosen cells of an image, C channels, K names, N negative
prompts.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fgdet.models.export.selection import Classes, decode, select
from fgdet.models.export.suppression import best, cells_of, rows_of


class ExportableOneStage(nn.Module):
    """What an ``OpenVocabularySingleStage`` predicts.

    Args:
        detector: with a vocabulary in use.
    """

    outputs = ('boxes', 'scores', 'labels')

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised pixels (B, 3, H, W), and height and width of each image in them (B, 2) -> what
        :func:`~fgdet.models.export.selection.select` gives."""
        detector, head = self.detector, self.detector.bbox_head
        *taps, dense = detector.backbone(pixels)
        levels = head(tuple(detector.neck(tuple(taps))))
        cells, deltas, centerness = map(cells_of, levels)  # (B, S, C), 4 and 1
        priors = head.prior_generator.grid_priors([each.shape[-2:] for each in levels[0]], device=pixels.device)
        classes = Classes(head.class_embeddings, head.is_trained, head.num_negatives)
        logits = head.atss_cls(cells)  # (B, S, K + N)
        names = logits[..., : -classes.num_negatives] if classes.num_negatives else logits
        values, places = best(names.amax(dim=2).sigmoid() * centerness[..., 0].sigmoid(), head.test_cfg.max_cells)
        boxes = decode(head.bbox_coder, torch.cat(priors)[places], rows_of(deltas, places), sizes)
        has_area = (boxes[..., 2:] > boxes[..., :2]).all(dim=2)
        scores = head.scores(rows_of(cells, places), rows_of(centerness, places))  # (B, M, K + N)
        scores = scores * ((values >= 0) & has_area)[..., None]
        return select(boxes, scores, dense, detector.backbone.visual.patch_size, classes, head.test_cfg)
