"""The second stage of Faster and Mask R-CNN over words.

Axes: R regions of all images.
"""

from typing import Any

from mmdet.models.roi_heads import StandardRoIHead
from torch import Tensor

from fgdet.models.roi_heads.ensembled_boxes import EnsembledBoxes
from fgdet.models.roi_heads.text_bbox_head import TextBBoxHead
from fgdet.registry import MODELS


@MODELS.register_module()
class OpenVocabularyRoIHead(EnsembledBoxes, StandardRoIHead):
    """One box head, and a mask head if one is configured: mmdet's ``FCNMaskHead`` with ``class_agnostic=True``, so that
    a vocabulary of any size has masks (Mask R-CNN, arXiv 1703.06870, section 4.2).

    The arguments are those of :class:`mmdet.models.StandardRoIHead`.
    """

    @property
    def box_heads(self) -> list[TextBBoxHead]:
        """The one box head."""
        return [self.bbox_head]

    def _stage_forward(self, stage: int, x: tuple[Tensor, ...], rois: Tensor) -> dict[str, Any]:
        return self._bbox_forward(x, rois)
