"""A one-stage head whose classes are words.

Axes: B images, h x w cells of one level of the pyramid, S cells of all levels, M chosen cells of an image, C channels,
K names, N negative prompts, T names with boxes in training, d dimension of an embedding.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from mmcv.cnn import ConvModule, Scale
from mmdet.models.dense_heads import ATSSHead
from mmdet.models.losses import QualityFocalLoss, VarifocalLoss
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from fgdet.models.post_processing.region_scores import RegionScores, ScoreEnsemble, check_test_cfg, region_cosines
from fgdet.registry import MODELS

#: Cells whose logits are in memory at once: with LVIS's 1,203 names 5 MB, which stay in a processor's cache.
CELLS_AT_ONCE = 1024


@MODELS.register_module()
class OVATSSHead(ATSSHead):
    """ATSS (arXiv 1912.02424) with a text classifier in the place of the last convolution of its class branch.

    Every cell has one anchor, a box, a centerness and for each name the probability ``sigmoid(s * cos + t)`` (see
    :class:`~fgdet.models.classifiers.text_classifier.TextClassifier`). The loss looks at the names that have boxes in
    training; a name without boxes would only ever be pushed away.

    At test the score ``sigmoid * centerness`` of the ``max_cells`` best cells is joined with what the frozen tower says
    of their boxes (F-VLM, arXiv 2209.15639, section 3), see
    :class:`~fgdet.models.post_processing.region_scores.ScoreEnsemble`, whose settings ``test_cfg`` has beside
    ``max_cells``: how many cells of an image, of all levels together, are looked at. A cell's rank is its best score of
    the K names, whatever the settings of the ensemble.

    Args:
        in_channels: channels of the pyramid.
        classifier: config of the classifier without ``in_features``; it has no background.
        anchor_generator: one anchor a cell.
        bbox_coder: codec between anchors and boxes.
        loss_cls: loss of (cells, T) logits with a sigmoid. mmdet's ``FocalLoss`` and ``CrossEntropyLoss`` take labels,
            its ``QualityFocalLoss`` and ``VarifocalLoss`` the overlap of the predicted with the true box.
        loss_bbox: loss of decoded boxes, each weighted with its centerness.
        loss_centerness: loss of the centerness; None: binary cross-entropy.
        feat_channels: channels C of both branches.
        stacked_convs: 3x3 convolutions of either branch.
        conv_cfg: kind of these convolutions.
        norm_cfg: norm after each; None: groups of 32.
        train_cfg: mmdet's ``assigner``, ``allowed_border`` and ``pos_weight``. Any assigner that looks at anchors and
            true boxes alone, not at predictions.
        test_cfg: see above.
        init_cfg: as for :class:`mmengine.model.BaseModule`; None: convolutions from a normal distribution of 0.01.

    Raises:
        ValueError: there is not one anchor a cell.
        UserError: ``test_cfg`` misses a field, or has an unknown one, such as mmdet's ``nms_pre``.
    """

    assigner: Any
    class_embeddings: Tensor
    is_trained: Tensor

    def __init__(
        self,
        in_channels: int,
        classifier: dict[str, Any],
        anchor_generator: dict[str, Any],
        bbox_coder: dict[str, Any],
        loss_cls: dict[str, Any],
        loss_bbox: dict[str, Any],
        loss_centerness: dict[str, Any] | None = None,
        feat_channels: int = 256,
        stacked_convs: int = 4,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            num_classes=1,  # until set_classes
            in_channels=in_channels,
            feat_channels=feat_channels,
            stacked_convs=stacked_convs,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg or dict(type='GN', num_groups=32),
            anchor_generator=anchor_generator,
            bbox_coder=bbox_coder,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            loss_centerness=loss_centerness or dict(type='CrossEntropyLoss', use_sigmoid=True),
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg or dict(type='Normal', layer='Conv2d', std=0.01),
        )
        if self.num_base_priors != 1:
            raise ValueError(f'anchor_generator: expected one scale and one ratio, got {self.num_base_priors} anchors')
        if train_cfg and 'num_level_priors' not in signature(self.assigner.assign).parameters:
            self.assigner = _WithoutLevels(self.assigner)
        self.atss_cls = MODELS.build(dict(classifier, in_features=feat_channels))
        self.register_buffer('class_embeddings', torch.empty(0), persistent=False)
        self.register_buffer('is_trained', torch.empty(0, dtype=torch.bool), persistent=False)
        self.num_negatives = 0
        check_test_cfg(test_cfg, needed=['max_cells'])
        self.score_ensemble = ScoreEnsemble()

    def _init_layers(self) -> None:
        """mmdet's layers but the last of the class branch."""

        def branch() -> nn.ModuleList:
            channels = [self.in_channels] + [self.feat_channels] * self.stacked_convs
            return nn.ModuleList(
                ConvModule(each, self.feat_channels, 3, padding=1, conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg)
                for each in channels[:-1]
            )

        self.cls_convs, self.reg_convs = branch(), branch()
        self.atss_reg = nn.Conv2d(self.feat_channels, 4, 3, padding=1)
        self.atss_centerness = nn.Conv2d(self.feat_channels, 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale(1.0) for _ in self.prior_generator.strides)

    def set_classes(self, class_embeddings: Tensor, is_trained: Tensor, num_negatives: int = 0) -> None:
        """Take the classes of the following calls, see :class:`fgdet.models.detectors.open_vocabulary.TakesClasses`.

        Args:
            class_embeddings: (K + N, d), of length 1; the last ``num_negatives`` are negative prompts.
            is_trained: (K + N,) bool, True for a class with boxes in training.
            num_negatives: classes that compete with the others but are never reported.
        """
        self.atss_cls.set_classes(class_embeddings, is_trained)
        self.class_embeddings = class_embeddings
        self.is_trained = is_trained.to(class_embeddings.device)
        self.num_negatives = num_negatives
        self.num_classes = self.cls_out_channels = int(is_trained.sum())  # T: what mmdet's targets count

    def forward_single(self, x: Tensor, scale: Scale) -> tuple[Tensor, Tensor, Tensor]:
        """One level (B, in_channels, h, w) -> features (B, C, h, w) that :attr:`atss_cls` classifies, deltas
        (B, 4, h, w), logits of the centerness (B, 1, h, w); :meth:`forward` gives lists of them.

        The features are not classified here: the loss wants other names than a prediction, which wants few cells.
        """
        class_features = box_features = x
        for convolution in self.cls_convs:
            class_features = convolution(class_features)
        for convolution in self.reg_convs:
            box_features = convolution(box_features)
        deltas = scale(self.atss_reg(box_features)).float()
        return class_features, deltas, self.atss_centerness(box_features)

    def loss_by_feat(
        self,
        class_features: Sequence[Tensor],
        bbox_preds: Sequence[Tensor],
        centernesses: Sequence[Tensor],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
    ) -> dict[str, list[Tensor]]:
        """mmdet's losses of each level, over the T names with boxes in training.

        Args:
            class_features: for each level (B, C, h, w), see :meth:`forward_single`.
            bbox_preds: for each level (B, 4, h, w).
            centernesses: for each level (B, 1, h, w).
            batch_gt_instances: for each image ``bboxes`` (G, 4) xyxy in pixels of the network's input and ``labels``
                (G,) that index the training vocabulary; G may be 0.
            batch_img_metas: for each image its ``img_shape`` and ``pad_shape``.
            batch_gt_instances_ignore: for each image ``bboxes`` that an assigner may leave out.

        Returns:
            ``loss_cls``, ``loss_bbox`` and ``loss_centerness``.

        Raises:
            ValueError: a label is a class that is not trained: boxes of novel classes reached the training.
        """
        columns = self.is_trained.nonzero()[:, 0]  # (T,)
        logits = [
            self.atss_cls(level.permute(0, 2, 3, 1))[..., columns].permute(0, 3, 1, 2) for level in class_features
        ]
        instances = [
            InstanceData(bboxes=each.bboxes, labels=self._columns_of(each.labels)) for each in batch_gt_instances
        ]
        return super().loss_by_feat(
            logits, bbox_preds, centernesses, instances, batch_img_metas, batch_gt_instances_ignore
        )

    def _columns_of(self, labels: Tensor) -> Tensor:
        """(G,) indices of names -> (G,) positions among those with boxes in training, 0..T-1."""
        known = self.is_trained[labels]
        if not known.all():
            leaked = labels[~known].unique().tolist()
            raise ValueError(f'training labels {leaked} are classes that are not in the base vocabulary')
        return self.is_trained.cumsum(0)[labels] - 1

    def loss_by_feat_single(
        self,
        anchors: Tensor,
        cls_score: Tensor,
        bbox_pred: Tensor,
        centerness: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        avg_factor: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """mmdet's losses of one level, for losses of the classes that take labels and for those that take overlaps.

        Args:
            anchors: (B, h * w, 4) xyxy.
            cls_score: (B, T, h, w) logits.
            bbox_pred: (B, 4, h, w) deltas.
            centerness: (B, 1, h, w) logits.
            labels: (B, h * w) in 0..T, T for the background.
            label_weights: (B, h * w).
            bbox_targets: (B, h * w, 4) xyxy.
            avg_factor: what the losses of classes and centerness are divided by: positives of an image batch, averaged
                over the processes.

        Returns:
            three losses, that of the boxes as a sum, and the sum of their weights.
        """
        logits, deltas, centerness = (
            each.permute(0, 2, 3, 1).flatten(0, 2) for each in (cls_score, bbox_pred, centerness)
        )
        labels, label_weights = labels.flatten(), label_weights.flatten()
        positive = (labels < self.num_classes).nonzero()[:, 0]  # (P,)
        anchors, true_boxes = anchors.flatten(0, 1)[positive], bbox_targets.flatten(0, 1)[positive]  # (P, 4)
        boxes = self.bbox_coder.decode(anchors, deltas[positive])  # (P, 4)
        targets: Tensor = labels
        if isinstance(self.loss_cls, QualityFocalLoss | VarifocalLoss):
            targets = torch.zeros_like(logits)  # (B * h * w, T)
            targets[positive, labels[positive]] = bbox_overlaps(boxes.detach(), true_boxes, is_aligned=True).to(targets)
        if isinstance(self.loss_cls, VarifocalLoss):
            label_weights = label_weights[:, None]  # unlike the others, it does not spread them over the classes
        loss_cls = self.loss_cls(logits, targets, label_weights, avg_factor=avg_factor)
        if not len(positive):
            return loss_cls, deltas.sum() * 0, centerness.sum() * 0, deltas.new_zeros(())
        central = self.centerness_target(anchors, true_boxes)  # (P,)
        loss_bbox = self.loss_bbox(boxes, true_boxes, weight=central, avg_factor=1.0)
        loss_centerness = self.loss_centerness(centerness[positive, 0], central, avg_factor=avg_factor)
        return loss_cls, loss_bbox, loss_centerness, central.sum()

    def predict(
        self, x: tuple[Tensor, ...], batch_data_samples: list[DetDataSample], rescale: bool = False
    ) -> list[InstanceData]:
        """Detections of each image.

        Args:
            x: the levels of the pyramid, then the dense map (B, d, h, w) that covers the network's input.
            batch_data_samples: with each image's ``img_shape``, ``batch_input_shape`` and, to rescale,
                ``scale_factor``.
            rescale: return boxes in pixels of the original image.

        Returns:
            as :meth:`predict_by_feat`.
        """
        *pyramid, dense = x
        metas = [sample.metainfo for sample in batch_data_samples]
        class_features, bbox_preds, centernesses = self(tuple(pyramid))
        return self.predict_by_feat(class_features, bbox_preds, centernesses, dense, metas, rescale=rescale)

    def predict_by_feat(
        self,
        class_features: Sequence[Tensor],
        bbox_preds: Sequence[Tensor],
        centernesses: Sequence[Tensor],
        dense: Tensor,
        batch_img_metas: list[dict],
        cfg: ConfigDict | None = None,
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Choose cells, join their scores with the dense map's, and suppress what overlaps.

        Args:
            class_features: for each level (B, C, h, w), see :meth:`forward_single`.
            bbox_preds: for each level (B, 4, h, w).
            centernesses: for each level (B, 1, h, w).
            dense: (B, d, h, w), covers the network's input.
            batch_img_metas: for each image ``img_shape``, ``batch_input_shape`` and, to rescale, ``scale_factor``.
            cfg: in the place of ``test_cfg``.
            rescale: return boxes in pixels of the original image.

        Returns:
            for each image ``bboxes`` (N, 4) xyxy, ``scores`` (N,) from the highest on and ``labels`` (N,).
        """
        cfg = cfg or self.test_cfg
        priors = torch.cat(self._priors(bbox_preds))  # (S, 4)
        cells, deltas, centerness = map(_cells, (class_features, bbox_preds, centernesses))  # (B, S, C), 4 and 1
        best = self.best_scores(cells, centerness)  # (B, S)
        chosen = best.topk(min(cfg.max_cells, len(priors)), dim=1).indices[..., None]  # (B, M, 1)
        scores = self.scores(cells.take_along_dim(chosen, 1), centerness.take_along_dim(chosen, 1))  # (B, M, K + N)
        boxes = [
            self.bbox_coder.decode(priors[rows], image_deltas[rows], max_shape=meta['img_shape'])  # (M, 4)
            for rows, image_deltas, meta in zip(chosen[..., 0], deltas, batch_img_metas, strict=True)
        ]
        cosines: Sequence[Tensor | None] = [None] * len(boxes)
        if cfg.get('score_ensemble') is not None:
            cosines = region_cosines(dense, boxes, self.class_embeddings, batch_img_metas[0]['batch_input_shape'])
        has_area = [(each[:, 2:] > each[:, :2]).all(dim=1, keepdim=True) for each in boxes]  # not all in the padding
        scores = scores * torch.stack(has_area)
        regions = [RegionScores(*each) for each in zip(boxes, scores, cosines, strict=True)]
        return self.score_ensemble(regions, self.is_trained, self.num_negatives, cfg, batch_img_metas, rescale)

    def scores(self, cells: Tensor, centerness: Tensor) -> Tensor:
        """ATSS's score of each name, sigmoid times centerness.

        Args:
            cells: (..., C) features of the class branch.
            centerness: (..., 1) logits.

        Returns:
            (..., K + N) float32 in 0..1.
        """
        return self.atss_cls(cells).float().sigmoid() * centerness.float().sigmoid()

    def best_scores(self, cells: Tensor, centerness: Tensor) -> Tensor:
        """The largest of a cell's :meth:`scores` over the K names.

        The largest logit gives it, so of the S x K numbers there are never more than those of ``CELLS_AT_ONCE`` cells,
        and one sigmoid a cell.

        Args:
            cells: (B, S, C) features of the class branch.
            centerness: (B, S, 1) logits.

        Returns:
            (B, S) float32 in 0..1.
        """
        count = len(self.is_trained) - self.num_negatives  # K
        best = [self.atss_cls(some)[..., :count].amax(dim=-1) for some in cells.split(CELLS_AT_ONCE, dim=1)]
        return torch.cat(best, dim=1).float().sigmoid() * centerness[..., 0].float().sigmoid()

    def _priors(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps of each level -> its anchors (h * w, 4) xyxy in pixels of the network's input."""
        sizes = [each.shape[-2:] for each in maps]
        return self.prior_generator.grid_priors(sizes, dtype=maps[0].dtype, device=maps[0].device)


class _WithoutLevels:
    """An assigner that wants all anchors in one, called as ATSS calls its own."""

    def __init__(self, assigner: Any) -> None:
        self.assigner = assigner

    def assign(
        self,
        pred_instances: InstanceData,
        num_level_priors: list[int],
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
    ) -> Any:
        return self.assigner.assign(pred_instances, gt_instances, gt_instances_ignore)


def _cells(levels: Sequence[Tensor]) -> Tensor:
    """(B, C, h, w) of each level -> (B, S, C), rows of the first level first."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)
