"""Box head of an open vocabulary: text classifier and class-agnostic box regression.

Axes: R regions of all images, N regions of one image, K classes, C channels, d dimension of an embedding.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from mmdet.structures.bbox import scale_boxes
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from fgdet.models.post_processing.negative_prompts import without_negatives
from fgdet.registry import MODELS


@MODELS.register_module()
class TextBBoxHead(ConvFCBBoxHead):
    """Shared convolutions and perceptron, then a :class:`~fgdet.models.classifiers.text_classifier.TextClassifier` and
    one box for all classes (F-VLM, arXiv 2209.15639, section 3).

    The classes are set by the detector before each use (:meth:`set_classes`). In training the softmax runs over the
    classes that have boxes and the background; a class without boxes would only ever be pushed away. At test it runs
    over all classes and the background.

    Args:
        in_channels: channels C of a pooled region.
        roi_feat_size: rows and columns of a pooled region.
        classifier: config of the text classifier without ``in_features``.
        num_shared_convs: 3x3 convolutions.
        num_shared_fcs: linear layers after them.
        conv_out_channels: their channels.
        fc_out_channels: their channels.
        norm_cfg: norm after the convolutions.
        bbox_coder: codec between proposals and boxes.
        loss_cls: loss of the R x (K + 1) logits with integer labels.
        loss_bbox: loss of the box deltas.
        init_cfg: as for :class:`mmengine.model.BaseModule`.
    """

    class_embeddings: Tensor
    is_trained: Tensor

    def __init__(
        self,
        in_channels: int,
        classifier: dict[str, Any],
        bbox_coder: dict[str, Any],
        loss_cls: dict[str, Any],
        loss_bbox: dict[str, Any],
        roi_feat_size: int = 7,
        num_shared_convs: int = 4,
        num_shared_fcs: int = 1,
        conv_out_channels: int = 256,
        fc_out_channels: int = 1024,
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            num_shared_convs=num_shared_convs,
            num_shared_fcs=num_shared_fcs,
            conv_out_channels=conv_out_channels,
            fc_out_channels=fc_out_channels,
            norm_cfg=norm_cfg,
            init_cfg=init_cfg,
            in_channels=in_channels,
            roi_feat_size=roi_feat_size,
            with_cls=False,  # mmdet's classifier has a fixed number of classes; ours stands in its place
            reg_class_agnostic=True,
            bbox_coder=bbox_coder,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
        )
        self.with_cls = True
        self.fc_cls = MODELS.build(dict(classifier, in_features=self.cls_last_dim))
        self.register_buffer('class_embeddings', torch.empty(0), persistent=False)
        self.register_buffer('is_trained', torch.empty(0, dtype=torch.bool), persistent=False)
        self.num_negatives = 0

    def set_classes(self, class_embeddings: Tensor, is_trained: Tensor, num_negatives: int = 0) -> None:
        """Take the classes of the following calls, see :class:`fgdet.models.detectors.open_vocabulary.TakesClasses`.

        Args:
            class_embeddings: (K, d), of length 1; the last ``num_negatives`` are negative prompts.
            is_trained: (K,) bool, True for a class with boxes in training.
            num_negatives: classes that compete with the others but are never reported.
        """
        self.fc_cls.set_classes(class_embeddings, is_trained)
        self.class_embeddings = class_embeddings
        self.is_trained = is_trained.to(class_embeddings.device)
        self.num_negatives = num_negatives
        self.num_classes = len(class_embeddings)  # the label that mmdet gives to the background

    def loss(
        self, cls_score: Tensor, bbox_pred: Tensor, rois: Tensor, labels: Tensor, *args: Any, **kwargs: Any
    ) -> dict:
        """mmdet's losses with the classes without boxes taken out of the softmax.

        Args:
            cls_score: (R, K + 1) logits.
            bbox_pred: (R, 4) deltas.
            rois: (R, 5), index of the image, then xyxy in pixels of the network's input.
            labels: (R,) in 0..K, K for the background.
            *args: label weights, box targets and box weights, see :meth:`mmdet.models.BBoxHead.loss`.
            **kwargs: the same.

        Raises:
            ValueError: a label is a class that is not trained: boxes of novel classes reached the training.
        """
        in_softmax = torch.cat([self.is_trained, self.is_trained.new_ones(1)])  # (K + 1,)
        if not in_softmax[labels].all():
            leaked = labels[~in_softmax[labels]].unique().tolist()
            raise ValueError(f'training labels {leaked} are classes that are not in the base vocabulary')
        return super().loss(cls_score.masked_fill(~in_softmax, -torch.inf), bbox_pred, rois, labels, *args, **kwargs)

    def decode(self, rois: Sequence[Tensor], bbox_preds: Sequence[Tensor], batch_img_metas: list[dict]) -> list[Tensor]:
        """Refined boxes.

        Args:
            rois: for each image (N, 5), index of the image, then xyxy in pixels of the network's input.
            bbox_preds: for each image (N, 4) deltas.
            batch_img_metas: for each image its ``img_shape``.

        Returns:
            for each image (N, 4) xyxy in pixels of the network's input, inside of the image.
        """
        return [
            self.bbox_coder.decode(roi[:, 1:], deltas, max_shape=meta['img_shape'])
            for roi, deltas, meta in zip(rois, bbox_preds, batch_img_metas, strict=True)
        ]

    def predict_by_scores(
        self,
        boxes: Sequence[Tensor],
        scores: Sequence[Tensor],
        batch_img_metas: list[dict],
        rcnn_test_cfg: ConfigDict,
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Per-class non-maximum suppression.

        Args:
            boxes: for each image (N, 4) xyxy in pixels of the network's input; N may be 0.
            scores: for each image (N, K) in 0..1.
            batch_img_metas: for each image its ``scale_factor`` (w, h), looked at with ``rescale`` only.
            rcnn_test_cfg: ``score_thr``, ``nms`` and ``max_per_img``.
            rescale: return boxes in pixels of the original image.

        Returns:
            for each image ``bboxes`` (M, 4) xyxy, ``scores`` (M,) from the highest on and ``labels`` (M,).
        """
        results = []
        for image_boxes, image_scores, meta in zip(boxes, scores, batch_img_metas, strict=True):
            if rescale:
                image_boxes = scale_boxes(image_boxes, [1 / factor for factor in meta['scale_factor']])
            image_scores = without_negatives(image_scores, self.num_negatives)
            with_background = torch.cat([image_scores, image_scores.new_zeros(len(image_scores), 1)], dim=1)
            found, labels = multiclass_nms(
                image_boxes, with_background, rcnn_test_cfg.score_thr, rcnn_test_cfg.nms, rcnn_test_cfg.max_per_img
            )
            results.append(InstanceData(bboxes=found[:, :4], scores=found[:, 4], labels=labels))
        return results
