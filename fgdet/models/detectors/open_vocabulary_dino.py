"""DINO with classes that are words.

Axes: B images, H x W pixels, S cells of all levels, Q queries, K names, C width of a query, d dimension of an
embedding.
"""

import copy
from typing import Any

import torch
from mmdet.models.detectors import DINO
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from fgdet.models.detectors.open_vocabulary import OpenVocabularyMixin
from fgdet.registry import MODELS


@MODELS.register_module()
class OpenVocabularyDINO(OpenVocabularyMixin, DINO):
    """mmdet's DINO (arXiv 2203.03605) on a tower that also gives a dense map, with a text tower for the names.

    The detector is self-contained: both towers are in its checkpoint. It trains on the base names of ``vocabulary`` and
    then looks for any names, see :meth:`set_vocabulary`. No weight belongs to a class: the encoder's proposals and the
    decoder's queries are classified by class embeddings, and the denoising queries hold them.

    Args:
        backbone: config of a :class:`~fgdet.models.backbones.clip_vit.CLIPViTBackbone`.
        neck: config of what makes ``num_feature_levels`` maps of one width of the taps, or a list of them in order.
        encoder: mmdet's config of DINO's encoder.
        decoder: mmdet's config of DINO's decoder.
        positional_encoding: mmdet's config of the sine encoding.
        bbox_head: config of an :class:`~fgdet.models.dense_heads.ov_dino_head.OVDINOHead`.
        dn_cfg: config of a :class:`~fgdet.models.dense_heads.text_denoising.TextCdnQueryGenerator`.
        class_embeddings: config of a :class:`~fgdet.models.classifiers.class_embeddings.ClassEmbeddings`.
        vocabulary: arguments, name or file of a :meth:`~fgdet.structures.vocabulary.Vocabulary.build`: the names that
            training labels index, of which ``base`` have boxes. The same as the data sets'.
        num_queries: objects that are looked for in an image; a map of fewer cells has as many as those.
        num_feature_levels: maps that the neck makes.
        train_cfg: mmdet's ``assigner``.
        test_cfg: see the head.
        data_preprocessor: config of the preprocessor; its padding must leave whole patches.
        init_cfg: as for :class:`mmengine.model.BaseModule`.

    Raises:
        UserError: the vocabulary is malformed or has no base names.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any] | list[dict[str, Any]],
        encoder: dict[str, Any],
        decoder: dict[str, Any],
        positional_encoding: dict[str, Any],
        bbox_head: dict[str, Any],
        dn_cfg: dict[str, Any],
        class_embeddings: dict[str, Any],
        vocabulary: dict[str, Any] | str,
        num_queries: int = 900,
        num_feature_levels: int = 4,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        # DINO's own constructor would make a table of denoising queries, one row a class.
        super(DINO, self).__init__(
            backbone=backbone,
            neck=neck,
            encoder=copy.deepcopy(encoder),  # mmdet writes into these three
            decoder=copy.deepcopy(decoder),
            bbox_head=copy.deepcopy(bbox_head),
            positional_encoding=positional_encoding,
            num_queries=num_queries,
            num_feature_levels=num_feature_levels,
            with_box_refine=True,
            as_two_stage=True,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        sizes = dict(embed_dims=self.embed_dims, num_matching_queries=num_queries)
        self.dn_query_generator = MODELS.build(dict(dn_cfg, **sizes))
        self.init_vocabulary(class_embeddings, vocabulary)

    def heads(self) -> list[Any]:
        """The head, and what makes denoising queries."""
        return [self.bbox_head, self.dn_query_generator]

    def predict_levels(
        self, levels: tuple[Tensor, ...], dense: Tensor, batch_data_samples: list[DetDataSample], rescale: bool
    ) -> list[InstanceData]:
        """See :meth:`~fgdet.models.detectors.open_vocabulary.OpenVocabularyMixin.predict_levels`."""
        head_inputs = self.forward_transformer(levels, batch_data_samples)
        return self.bbox_head.predict(
            **head_inputs, dense=dense, batch_data_samples=batch_data_samples, rescale=rescale
        )

    def pre_decoder(
        self,
        memory: Tensor,
        memory_mask: Tensor | None,
        spatial_shapes: Tensor,
        batch_data_samples: list[DetDataSample] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Queries from the cells of the memory that fit a name best.

        Args:
            memory: (B, S, C).
            memory_mask: (B, S) bool, True for padding; None where no image has any.
            spatial_shapes: rows and columns of each level, one row for each.
            batch_data_samples: in training, for the denoising queries.

        Returns:
            the decoder's ``query``, ``memory``, ``reference_points`` (B, Q, 4) cxcywh in 0..1 and ``dn_mask``; and in
            training the head's ``enc_outputs_class``, ``enc_outputs_coord`` and ``dn_meta``.
        """
        encoded, anchors = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        count = min(self.num_queries, memory.shape[1])
        valid = anchors.isfinite().all(dim=-1)
        chosen = self.bbox_head.choose_proposals(encoded, valid, count)[..., None]  # (B, Q, 1)
        encoded = encoded.take_along_dim(chosen, dim=1)  # (B, Q, C)
        deltas = self.bbox_head.reg_branches[-1](encoded)
        boxes = deltas.float() + anchors.take_along_dim(chosen, dim=1)  # (B, Q, 4) before the sigmoid
        query = self.query_embedding.weight[:count].expand(len(memory), -1, -1)
        if not self.training:
            return dict(query=query, memory=memory, reference_points=boxes.sigmoid(), dn_mask=None), {}
        dn_query, dn_boxes, dn_mask, dn_meta = self.dn_query_generator(batch_data_samples)
        query = torch.cat([dn_query, query], dim=1)
        decoder_inputs = dict(
            query=query,
            memory=memory,
            reference_points=torch.cat([dn_boxes, boxes.detach()], dim=1).sigmoid(),
            dn_mask=dn_mask[: query.shape[1], : query.shape[1]],  # all are masked alike that come after the denoising
        )
        head_inputs = dict(
            enc_outputs_class=self.bbox_head.cls_branches[-1](encoded),
            enc_outputs_coord=boxes.sigmoid(),
            dn_meta=dn_meta,
        )
        return decoder_inputs, head_inputs
