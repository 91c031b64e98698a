"""DINO's head for classes that are words: a text classifier for every layer, boxes of no class.

Axes: L decoder layers, B images, Q queries, S cells of all levels, K names, N negative prompts, C width of a query,
d dimension of an embedding, h x w cells of the dense map.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import DINOHead
from mmdet.models.layers import inverse_sigmoid
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.model import constant_init
from mmengine.structures import InstanceData
from torch import Tensor, nn

from fgdet.models.post_processing.region_scores import RegionScores, ScoreEnsemble, check_test_cfg, region_cosines
from fgdet.registry import MODELS

#: Logits that the choice of proposals holds at once: 64 MiB of float32, whatever the vocabulary.
MAX_LOGITS = 2**24


@MODELS.register_module()
class OVDINOHead(DINOHead):
    """mmdet's head of DINO (arXiv 2203.03605) with a text classifier in place of each linear one.

    There is one classifier for every decoder layer and one for the proposals, which are the cells of the encoder's
    memory that fit any name best. The boxes were never of a class. Training looks at the trained classes alone: the
    others' columns are left out of every loss, cost and choice, as a class without boxes would only be pushed away.

    ``test_cfg`` has the settings of a :class:`~fgdet.models.post_processing.region_scores.ScoreEnsemble`. The queries
    are trained to find each object once, so that there is no ``nms`` by default; with ``nms=dict(type='nms',
    iou_threshold=0.7)`` a box suppresses worse ones of its class, and with ``class_agnostic_nms=True`` of every class.

    Args:
        classifier: config of a :class:`~fgdet.models.classifiers.text_classifier.TextClassifier` without
            ``in_features``; it needs ``background=False`` and a ``bias`` below 0, as the losses are of a sigmoid.
        embed_dims: width C of a query.
        num_reg_fcs: hidden layers of a box branch.
        sync_cls_avg_factor: average the number of boxes over all ranks in the classification loss.
        loss_cls: loss of the logits with integer labels; a sigmoid's.
        loss_bbox: loss of the normalised cxcywh boxes.
        loss_iou: loss of the xyxy boxes.
        share_pred_layer: one branch serves all layers; set by the detector.
        num_pred_layer: decoder layers, and one more for the proposals; set by the detector.
        as_two_stage: True; set by the detector.
        train_cfg: ``assigner``.
        test_cfg: see above.
        init_cfg: as for :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: ``loss_cls`` is not a sigmoid's.
        UserError: ``test_cfg`` misses a field, or has an unknown one.
    """

    cls_branches: Any  # of classifiers
    class_embeddings: Tensor
    is_trained: Tensor

    def __init__(
        self,
        classifier: dict[str, Any],
        loss_cls: dict[str, Any],
        loss_bbox: dict[str, Any],
        loss_iou: dict[str, Any],
        embed_dims: int = 256,
        num_reg_fcs: int = 2,
        sync_cls_avg_factor: bool = False,
        share_pred_layer: bool = False,
        num_pred_layer: int = 7,
        as_two_stage: bool = True,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            num_classes=1,  # until set_classes
            embed_dims=embed_dims,
            num_reg_fcs=num_reg_fcs,
            sync_cls_avg_factor=sync_cls_avg_factor,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            loss_iou=loss_iou,
            share_pred_layer=share_pred_layer,
            num_pred_layer=num_pred_layer,
            as_two_stage=as_two_stage,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg,
        )
        if not self.loss_cls.use_sigmoid:
            raise ValueError(f'loss_cls: expected a loss with use_sigmoid=True, got {loss_cls}')
        count = 1 if share_pred_layer else num_pred_layer
        branches = [MODELS.build(dict(classifier, in_features=embed_dims)) for _ in range(count)]
        self.cls_branches = nn.ModuleList(branches * (num_pred_layer // count))
        self.register_buffer('class_embeddings', torch.empty(0), persistent=False)
        self.register_buffer('is_trained', torch.empty(0, dtype=torch.bool), persistent=False)
        self.num_negatives = 0
        check_test_cfg(test_cfg)
        self.score_ensemble = ScoreEnsemble()

    def init_weights(self) -> None:
        """Boxes begin as their references. The classifiers begin as their config says, where mmdet's get one bias."""
        for branch in self.reg_branches:
            constant_init(branch[-1], 0, bias=0)

    def set_classes(self, class_embeddings: Tensor, is_trained: Tensor, num_negatives: int = 0) -> None:
        """Take the classes of the following calls, see :class:`fgdet.models.detectors.open_vocabulary.TakesClasses`.

        Args:
            class_embeddings: (K + N, d), of length 1; the last ``num_negatives`` are negative prompts.
            is_trained: (K + N,) bool, True for a class with boxes in training.
            num_negatives: N: classes that compete with the others but are never reported.
        """
        for branch in self.cls_branches:
            branch.set_classes(class_embeddings, is_trained)
        self.class_embeddings = class_embeddings
        self.is_trained = is_trained.to(class_embeddings.device)
        self.num_negatives = num_negatives
        # mmdet's losses see the trained classes alone; their number is the label of the background.
        self.num_classes = self.cls_out_channels = int(is_trained.sum())

    def forward(self, hidden_states: Tensor, references: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and boxes of every layer.

        Args:
            hidden_states: (L, B, Q, C).
            references: of at least L layers (B, Q, 4) cxcywh in 0..1: the boxes that each layer began with.

        Returns:
            (L, B, Q, K + N) logits and (L, B, Q, 4) cxcywh in 0..1.
        """
        outputs = [self._layer(index, hidden, references[index]) for index, hidden in enumerate(hidden_states)]
        logits, boxes = zip(*outputs, strict=True)
        return torch.stack(logits), torch.stack(boxes)

    def choose_proposals(self, memory: Tensor, valid: Tensor, count: int) -> Tensor:
        """The cells that fit any class best: trained classes in training, all names at test.

        The logits of all cells are never held at once, so that memory does not grow with the vocabulary.

        Args:
            memory: (B, S, C).
            valid: (B, S) bool; others are chosen last.
            count: cells of an image, at most S.

        Returns:
            (B, ``count``) int64, the best first.
        """
        classes = self.is_trained if self.training else slice(len(self.class_embeddings) - self.num_negatives)
        classifier = self.cls_branches[-1]
        with torch.no_grad():
            rows = max(1, MAX_LOGITS // len(self.class_embeddings))
            chunks = memory.flatten(0, 1).split(rows)  # (<= rows, C)
            best = torch.cat([classifier(chunk)[:, classes].amax(dim=1) for chunk in chunks])  # (B * S,)
            best = best.reshape(valid.shape).masked_fill(~valid, -torch.inf)
        return best.topk(count, dim=1).indices

    def loss_by_feat(
        self,
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        enc_cls_scores: Tensor,
        enc_bbox_preds: Tensor,
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        dn_meta: dict[str, int],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """mmdet's losses on the trained classes.

        Args:
            all_layers_cls_scores: (L, B, Q, K + N) logits, the denoising queries first.
            all_layers_bbox_preds: (L, B, Q, 4) cxcywh in 0..1.
            enc_cls_scores: (B, Q', K + N) logits of the proposals.
            enc_bbox_preds: (B, Q', 4) cxcywh in 0..1.
            batch_gt_instances: for each image ``bboxes`` (., 4) xyxy in pixels and ``labels`` (.,) in 0..K - 1.
            batch_img_metas: for each image its ``img_shape``.
            dn_meta: ``num_denoising_queries`` and ``num_denoising_groups``.
            batch_gt_instances_ignore: must be None.

        Raises:
            ValueError: a label is a class that is not trained: boxes of novel classes reached the training.
        """
        trained = self.is_trained
        position = trained.cumsum(0) - 1  # (K + N,) of a class among the trained ones
        renamed = []
        for each in batch_gt_instances:
            if not trained[each.labels].all():
                leaked = each.labels[~trained[each.labels]].unique().tolist()
                raise ValueError(f'training labels {leaked} are classes that are not in the base vocabulary')
            renamed.append(InstanceData(bboxes=each.bboxes, labels=position[each.labels]))
        return super().loss_by_feat(
            all_layers_cls_scores[..., trained],
            all_layers_bbox_preds,
            enc_cls_scores[..., trained],
            enc_bbox_preds,
            renamed,
            batch_img_metas,
            dn_meta,
            batch_gt_instances_ignore,
        )

    def predict(
        self,
        hidden_states: Tensor,
        references: list[Tensor],
        dense: Tensor,
        batch_data_samples: list[DetDataSample],
        rescale: bool = True,
    ) -> list[InstanceData]:
        """Detections of each image from the last layer, the only one whose logits are computed.

        Args:
            hidden_states: (L, B, Q, C).
            references: of at least L layers (B, Q, 4) cxcywh in 0..1.
            dense: (B, d, h, w), the frozen tower's map over the network's input.
            batch_data_samples: with each image's ``img_shape``, ``batch_input_shape`` and ``scale_factor``.
            rescale: return boxes in pixels of the original image.

        Returns:
            as :meth:`predict_by_feat`.
        """
        last = len(hidden_states) - 1
        logits, boxes = self._layer(last, hidden_states[last], references[last])
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.predict_by_feat(logits, boxes, dense, metas, rescale)

    def predict_by_feat(
        self, cls_scores: Tensor, bbox_preds: Tensor, dense: Tensor, batch_img_metas: list[dict], rescale: bool = True
    ) -> list[InstanceData]:
        """The best pairs of a query and a name.

        Args:
            cls_scores: (B, Q, K + N) logits of one layer.
            bbox_preds: (B, Q, 4) cxcywh in 0..1 of the image without its padding.
            dense: (B, d, h, w).
            batch_img_metas: for each image ``img_shape``, ``batch_input_shape`` and, to rescale, ``scale_factor``.
            rescale: return boxes in pixels of the original image.

        Returns:
            for each image ``bboxes`` (M, 4) xyxy, ``scores`` (M,) from the highest on and ``labels`` (M,) in 0..K - 1.
        """
        boxes = [
            bbox_cxcywh_to_xyxy(each).clamp(0, 1) * each.new_tensor(meta['img_shape'][1::-1]).repeat(2)  # (Q, 4)
            for each, meta in zip(bbox_preds.float(), batch_img_metas, strict=True)
        ]
        cosines: Sequence[Tensor | None] = [None] * len(boxes)
        if self.test_cfg.get('score_ensemble') is not None:
            cosines = region_cosines(dense, boxes, self.class_embeddings, batch_img_metas[0]['batch_input_shape'])
        probabilities = cls_scores.float().sigmoid()  # (B, Q, K + N)
        regions = [RegionScores(*each) for each in zip(boxes, probabilities, cosines, strict=True)]
        return self.score_ensemble(
            regions, self.is_trained, self.num_negatives, self.test_cfg, batch_img_metas, rescale
        )

    def _layer(self, index: int, hidden: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """(B, Q, C) and (B, Q, 4) cxcywh -> (B, Q, K + N), (B, Q, 4)."""
        # Half precision moves a box of 640 pixels by two of them.
        boxes = (self.reg_branches[index](hidden).float() + inverse_sigmoid(reference.float())).sigmoid()
        return self.cls_branches[index](hidden), boxes
