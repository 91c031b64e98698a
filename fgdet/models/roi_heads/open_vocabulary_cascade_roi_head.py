"""The second stage of Cascade R-CNN over words.

Axes: R regions of all images.
"""

from typing import Any

from mmdet.models.roi_heads import CascadeRoIHead
from torch import Tensor

from fgdet.models.roi_heads.ensembled_boxes import EnsembledBoxes
from fgdet.models.roi_heads.text_bbox_head import TextBBoxHead
from fgdet.registry import MODELS


@MODELS.register_module()
class OpenVocabularyCascadeRoIHead(EnsembledBoxes, CascadeRoIHead):
    """Box heads in a row, each trained on better boxes than the one before it (arXiv 1712.00726), each with a
    classifier over words; class-agnostic mask heads if they are configured.

    The arguments are those of :class:`mmdet.models.CascadeRoIHead`: ``num_stages``, ``stage_loss_weights``, a
    ``bbox_head`` for each stage (one config stands for all), and as many ``rcnn`` in the detector's ``train_cfg``.
    """

    @property
    def box_heads(self) -> list[TextBBoxHead]:
        """The box heads of the stages."""
        return list(self.bbox_head)

    def _stage_forward(self, stage: int, x: tuple[Tensor, ...], rois: Tensor) -> dict[str, Any]:
        return self._bbox_forward(stage, x, rois)
