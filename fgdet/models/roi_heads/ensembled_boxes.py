"""The boxes of a second stage: what its box heads and what the frozen tower say of each proposal, joined.

Axes: B images, R regions of all images, N regions of one image, K classes, d dimension of an embedding.
"""

from typing import Any

from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from fgdet.models.post_processing.region_scores import RegionScores, ScoreEnsemble, check_test_cfg, region_cosines
from fgdet.models.roi_heads.text_bbox_head import TextBBoxHead


class EnsembledBoxes:
    """Boxes of one stage or several, whose scores are joined at test with those of the dense map.

    To be mixed into one of mmdet's heads, which gives :attr:`box_heads` and :meth:`_stage_forward`. Masks, if there are
    any, are mmdet's own.

    The recipe is F-ViT's (CLIPSelf, arXiv 2310.01403, section 4), the formula F-VLM's (see
    :mod:`fgdet.models.post_processing.score_ensemble`). The regions of the dense map are pooled at the *refined* boxes.
    ``test_cfg`` has what :class:`~fgdet.models.post_processing.region_scores.ScoreEnsemble` reads, such as
    ``score_ensemble`` and ``class_agnostic_nms``, and, with masks, ``mask_thr_binary``.

    Attributes:
        score_ensemble: the last step, on which a hook may record what goes in.

    Raises:
        ValueError: a mask head has masks of its own for each class, so the vocabulary could not change.
        UserError: ``test_cfg`` misses a field, or has an unknown one.
    """

    modules: Any  # of the head that this is mixed into
    test_cfg: Any
    with_mask: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_test_cfg(self.test_cfg, ['mask_thr_binary'] if self.with_mask else [], ['mask_thr_binary'])
        self.score_ensemble = ScoreEnsemble()
        if not all(getattr(module, 'class_agnostic', True) for module in self.modules()):
            raise ValueError('mask_head class_agnostic: expected True, got False; a vocabulary has any number of names')

    @property
    def box_heads(self) -> list[TextBBoxHead]:
        """The heads of the stages, in order."""
        raise NotImplementedError

    def _stage_forward(self, stage: int, x: tuple[Tensor, ...], rois: Tensor) -> dict[str, Any]:
        """``cls_score`` (R, K or K + 1) and ``bbox_pred`` (R, 4) of one stage for regions (R, 5)."""
        raise NotImplementedError

    def predict_bbox(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg: ConfigDict,
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Detections of each image.

        Each stage refines the boxes of the one before it. The stages' logits are averaged, as mmdet does.

        Args:
            x: the levels of the pyramid, then the dense map (B, d, h, w) that covers the network's input.
            batch_img_metas: for each image ``img_shape``, ``batch_input_shape`` and, to rescale, ``scale_factor``.
            rpn_results_list: for each image its proposals, ``bboxes`` (N, 4) xyxy in pixels of the network's input; N
                may be 0.
            rcnn_test_cfg: see the class.
            rescale: return boxes in pixels of the original image.

        Returns:
            for each image ``bboxes`` (M, 4) xyxy, ``scores`` (M,) from the highest on and ``labels`` (M,).
        """
        *pyramid, dense = x
        boxes = [results.bboxes for results in rpn_results_list]
        counts = [len(each) for each in boxes]
        logits: Any = 0
        for stage, head in enumerate(self.box_heads):
            rois = bbox2roi(boxes)  # (R, 5)
            outputs = self._stage_forward(stage, tuple(pyramid), rois)
            logits = logits + outputs['cls_score'].float() / len(self.box_heads)
            boxes = head.decode(rois.split(counts), outputs['bbox_pred'].split(counts), batch_img_metas)
        detector = head.probabilities(logits).split(counts)  # of each image (N, K)
        cosines: Any = [None] * len(boxes)
        if rcnn_test_cfg.get('score_ensemble') is not None:
            cosines = region_cosines(dense, boxes, head.class_embeddings, batch_img_metas[0]['batch_input_shape'])
        regions = [RegionScores(*each) for each in zip(boxes, detector, cosines, strict=True)]
        return self.score_ensemble(
            regions, head.is_trained, head.num_negatives, rcnn_test_cfg, batch_img_metas, rescale
        )
