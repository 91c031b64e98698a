"""The second stage: what the trained head and what the frozen tower say of each proposal, joined.

Axes: B images, R regions of all images, N regions of one image, K classes, d dimension of an embedding.
"""

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from fgdet.models.post_processing.score_ensemble import ensemble_scores, region_probabilities
from fgdet.ops.roi_align import region_pool
from fgdet.registry import MODELS


@MODELS.register_module()
class OpenVocabularyRoIHead(StandardRoIHead):
    """mmdet's box branch, whose scores are joined at test with those of the dense map.

    The recipe is F-ViT's (CLIPSelf, arXiv 2310.01403, section 4), the formula F-VLM's (see
    :mod:`fgdet.models.post_processing.score_ensemble`). The regions of the dense map are pooled at the *refined* boxes.
    ``test_cfg`` has mmdet's ``score_thr``, ``nms`` and ``max_per_img``, and in ``score_ensemble`` the numbers
    ``alpha``, ``beta`` and ``temperature``.
    """

    def predict_bbox(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg: ConfigDict,
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Detections of each image.

        Args:
            x: the levels of the pyramid, then the dense map (B, d, h, w) that covers the network's input.
            batch_img_metas: for each image ``img_shape``, ``batch_input_shape`` and, to rescale, ``scale_factor``.
            rpn_results_list: for each image its proposals, ``bboxes`` (N, 4) xyxy in pixels of the network's input.
            rcnn_test_cfg: see the class.
            rescale: return boxes in pixels of the original image.

        Returns:
            as :meth:`~fgdet.models.roi_heads.text_bbox_head.TextBBoxHead.predict_by_scores`.
        """
        *pyramid, dense = x
        proposals = [results.bboxes for results in rpn_results_list]
        counts = [len(each) for each in proposals]
        rois = bbox2roi(proposals)  # (R, 5)
        head_outputs = self._bbox_forward(tuple(pyramid), rois)
        deltas = head_outputs['bbox_pred'].split(counts)
        boxes = self.bbox_head.decode(rois.split(counts), deltas, batch_img_metas)
        # The softmax has the background in it, which is then dropped.
        detector = head_outputs['cls_score'].float().softmax(dim=1)[:, :-1]  # (R, K)
        region = self._region_probabilities(dense, boxes, batch_img_metas[0]['batch_input_shape'])  # (R, K)
        weights = rcnn_test_cfg.score_ensemble
        scores = ensemble_scores(detector, region, self.bbox_head.is_trained, weights.alpha, weights.beta)
        return self.bbox_head.predict_by_scores(boxes, scores.split(counts), batch_img_metas, rcnn_test_cfg, rescale)

    def _region_probabilities(self, dense: Tensor, boxes: list[Tensor], input_hw: tuple[int, int]) -> Tensor:
        """(B, d, h, w) and for each image (N, 4) xyxy in pixels of the network's input -> (R, K)."""
        features = region_pool(dense, boxes, spatial_scale=dense.shape[-1] / input_hw[1])[..., 0, 0]  # (R, d)
        classes = self.bbox_head.class_embeddings  # (K, d)
        return region_probabilities(features, classes, self.test_cfg.score_ensemble.temperature)
