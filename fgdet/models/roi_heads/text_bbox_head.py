"""Box head of an open vocabulary: text classifier and class-agnostic box regression.

Axes: R regions of all images, N regions of one image, K classes, C channels, d dimension of an embedding.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.losses import accuracy
from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from torch import Tensor

from fgdet.registry import MODELS


@MODELS.register_module()
class TextBBoxHead(ConvFCBBoxHead):
    """Shared convolutions and perceptron, then a :class:`~fgdet.models.classifiers.text_classifier.TextClassifier` and
    one box for all classes (F-VLM, arXiv 2209.15639, section 3).

    The classes are set by the detector before each use (:meth:`set_classes`). In training the loss sees those that have
    boxes, in the order of the vocabulary, and the background; a class without boxes would only ever be pushed away. At
    test all classes compete.

    Any of mmdet's losses of logits and integer labels will do. A softmax needs the classifier's background, a sigmoid
    (``use_sigmoid=True``) must have ``background=False`` and wants a ``bias`` below 0. With mmdet's ``SeesawLoss``,
    whose ``num_classes`` is the number of trained classes, the background's logit says whether there is an object at
    all, and the classes have a softmax of their own.

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
        loss_cls: loss of the logits with integer labels.
        loss_bbox: loss of the box deltas, or with ``reg_decoded_bbox`` of the boxes.
        reg_decoded_bbox: the box loss compares boxes, as one of the IoU must.
        init_cfg: as for :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: the classifier has a background with a sigmoid or none with a softmax.
    """

    custom_activation = False  # of mmdet's heads; ours is in :meth:`probabilities`
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
        reg_decoded_bbox: bool = False,
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
            reg_decoded_bbox=reg_decoded_bbox,
            bbox_coder=bbox_coder,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
        )
        self.with_cls = True
        self.use_sigmoid = getattr(self.loss_cls, 'use_sigmoid', False)
        self.has_objectness = self.custom_cls_channels
        if classifier.get('background', True) == self.use_sigmoid:
            raise ValueError(
                f'TextBBoxHead classifier background: expected {not self.use_sigmoid} with the '
                f'{"sigmoid" if self.use_sigmoid else "softmax"} of loss_cls {type(self.loss_cls).__name__}'
            )
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
        self,
        cls_score: Tensor,
        bbox_pred: Tensor | None,
        rois: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor | None,
        bbox_weights: Tensor | None,
        reduction_override: str | None = None,
    ) -> dict[str, Tensor]:
        """mmdet's losses; that of the classes sees the columns of trained classes only.

        Args:
            cls_score: (R, K) or, with a background, (R, K + 1) logits.
            bbox_pred: (R, 4) deltas; None where only the classes are asked for.
            rois: (R, 5), index of the image, then xyxy in pixels of the network's input.
            labels: (R,) in 0..K, K for the background.
            label_weights: (R,).
            bbox_targets: (R, 4), see :meth:`mmdet.models.BBoxHead.get_targets`.
            bbox_weights: (R, 4).
            reduction_override: ``'none'``, ``'mean'`` or ``'sum'`` in place of the losses' own.

        Raises:
            ValueError: a label is a class that is not trained: boxes of novel classes reached the training.
        """
        is_column = torch.cat([self.is_trained, self.is_trained.new_ones(1)])  # (K + 1,)
        if not is_column[labels].all():
            leaked = labels[~is_column[labels]].unique().tolist()
            raise ValueError(f'training labels {leaked} are classes that are not in the base vocabulary')
        logits = self._with_objectness(cls_score[:, is_column[: cls_score.shape[1]]].float())
        columns = (is_column.cumsum(0) - 1)[labels]  # the background is the last again
        losses: dict[str, Tensor] = super().loss(
            None, bbox_pred, rois, labels, label_weights, bbox_targets, bbox_weights, reduction_override
        )
        num_weighted = max(float((label_weights > 0).sum()), 1.0)
        loss_cls = self.loss_cls(
            logits, columns, label_weights, avg_factor=num_weighted, reduction_override=reduction_override
        )
        losses.update(loss_cls if isinstance(loss_cls, dict) else dict(loss_cls=loss_cls))
        if self.has_objectness:
            losses.update(self.loss_cls.get_accuracy(logits, columns))
        else:
            losses['acc'] = accuracy(logits, columns)
        return losses

    def probabilities(self, logits: Tensor) -> Tensor:
        """What the head says of each class, without the background that is among what a softmax divides by.

        Args:
            logits: (R, K) or, with a background, (R, K + 1).

        Returns:
            (R, K) in 0..1.
        """
        if self.use_sigmoid:
            return logits.sigmoid()
        if self.has_objectness:
            return logits[:, :-1].softmax(dim=1) * (-logits[:, -1:]).sigmoid()
        return logits.softmax(dim=1)[:, :-1]

    def _with_objectness(self, logits: Tensor) -> Tensor:
        """(R, K + 1) -> (R, K + 2) for a loss that tells objects from background apart from the classes."""
        if not self.has_objectness:
            return logits
        return torch.cat([logits[:, :-1], torch.zeros_like(logits[:, :1]), logits[:, -1:]], dim=1)

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
