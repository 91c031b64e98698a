"""DINO as a function of tensors.

mmdet's own forward asks the sizes of its levels from tensors, which a graph of any size cannot; here they are numbers
of the trace. The layers and their weights are the detector's.

Axes: B images, H x W pixels, L levels of h x w cells, S cells of all levels, Q queries, C channels, A attention heads,
P points of a head, D channels of a head, K names, N negative prompts.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from mmdet.models.layers import coordinate_to_encoding, inverse_sigmoid
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn

from fgdet.models.export.selection import Classes, select, xyxy_limits
from fgdet.models.export.suppression import cells_of, rows_of

#: Stands for the logit of a cell that is chosen when there are no others.
LAST = -1e30


class Level(NamedTuple):
    """One level of the pyramid, where it ends in each image."""

    features: Tensor  # (B, C, h, w)
    is_padding: Tensor  # (B, h, w) bool
    valid: Tensor  # (B, 2), columns and rows that are no padding
    ratio: Tensor  # (B, 2), the same over all columns and rows

    @property
    def centres(self) -> Tensor:
        """Of the cells, in 0..1 of the image without its padding: (B, h * w, 2) as (x, y)."""
        height, width = self.features.shape[-2:]
        x = torch.arange(width, device=self.valid.device).expand(height, -1)
        y = torch.arange(height, device=self.valid.device)[:, None].expand(-1, width)
        return (torch.stack([x, y], dim=2).flatten(0, 1) + 0.5) / self.valid[:, None]


class ExportableDINO(nn.Module):
    """What an ``OpenVocabularyDINO`` predicts.

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
        levels = [_level(each, sizes, pixels.shape[-2:]) for each in detector.neck(tuple(taps))]
        memory = self._encode(levels)  # (B, S, C)
        classes = Classes(head.class_embeddings, head.is_trained, head.num_negatives)
        references, is_query = self._propose(memory, levels, classes)  # (B, Q, 4), (Q,)
        hidden, references = self._decode(memory, levels, references, is_query)  # what the last layer began with
        last = detector.decoder.num_layers - 1
        boxes = (head.reg_branches[last](hidden).float() + inverse_sigmoid(references)).sigmoid()
        boxes = bbox_cxcywh_to_xyxy(boxes).clamp(0, 1) * xyxy_limits(sizes).to(boxes)[:, None]  # (B, Q, 4)
        scores = head.cls_branches[last](hidden).float().sigmoid() * is_query[:, None]  # (B, Q, K + N)
        return select(boxes, scores, dense, detector.backbone.visual.patch_size, classes, head.test_cfg)

    def _encode(self, levels: Sequence[Level]) -> Tensor:
        """The cells of all levels, mixed (B, S, C)."""
        detector = self.detector
        memory = cells_of([level.features for level in levels])
        positions = cells_of(
            [
                detector.positional_encoding(level.is_padding) + embedding[:, None, None]
                for level, embedding in zip(levels, detector.level_embed, strict=True)
            ]
        )
        references = torch.cat([level.centres for level in levels], dim=1)[:, :, None] * _ratios(levels)
        for layer in detector.encoder.layers:
            mixed = _attend(layer.self_attn, memory + positions, memory, references, levels)
            memory = layer.norms[1](layer.ffn(layer.norms[0](memory + mixed)))
        return memory

    def _propose(self, memory: Tensor, levels: Sequence[Level], classes: Classes) -> tuple[Tensor, Tensor]:
        """Memory (B, S, C) -> cxcywh in 0..1 of the cells that fit a name best (B, Q, 4), and (Q,) bool, False for what
        only fills up, where there are fewer cells than queries."""
        detector, head = self.detector, self.detector.bbox_head
        centres = [level.centres for level in levels]
        sides = [torch.full_like(each, 0.05 * 2.0**level) for level, each in enumerate(centres)]
        anchors = torch.cat([torch.cat(centres, dim=1), torch.cat(sides, dim=1)], dim=2)  # (B, S, 4)
        is_valid = ((anchors > 0.01) & (anchors < 0.99)).all(dim=2) & ~_is_padding(levels)  # (B, S)
        anchors = torch.where(is_valid[..., None], torch.log(anchors / (1 - anchors)), torch.inf)
        encoded = detector.memory_trans_norm(detector.memory_trans_fc(memory * is_valid[..., None]))
        logits = head.cls_branches[-1](encoded)  # (B, S, K + N)
        names = logits[..., : -classes.num_negatives] if classes.num_negatives else logits
        fit = torch.where(is_valid, names.amax(dim=2), LAST)
        places = F.pad(fit, (0, detector.num_queries), value=-torch.inf).topk(detector.num_queries, dim=1).indices
        places = torch.where(places < memory.shape[1], places, 0)  # (B, Q)
        deltas = head.reg_branches[-1](rows_of(encoded, places)).float()
        is_query = torch.arange(detector.num_queries, device=memory.device) < memory.shape[1]
        return (deltas + rows_of(anchors, places)).sigmoid(), is_query

    def _decode(
        self, memory: Tensor, levels: Sequence[Level], references: Tensor, is_query: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the queries became (B, Q, C), and the boxes (B, Q, 4) that the last layer began with."""
        detector, decoder, ratios = self.detector, self.detector.decoder, _ratios(levels).repeat(1, 1, 1, 2)
        query = detector.query_embedding.weight.expand(memory.shape[0], -1, -1)
        unseen = ~is_query.expand(query.shape[1], -1)  # (Q, Q)
        before = references
        for layer, branch in zip(decoder.layers, detector.bbox_head.reg_branches, strict=False):
            before = references
            scaled = before[:, :, None] * ratios  # (B, Q, L, 4)
            position = decoder.ref_point_head(coordinate_to_encoding(scaled[:, :, 0], num_feats=query.shape[2]))
            query = layer.self_attn(query, query, query, query_pos=position, key_pos=position, attn_mask=unseen)
            query = layer.norms[0](query)
            mixed = _attend(layer.cross_attn, query + position, memory, scaled, levels)
            query = layer.norms[2](layer.ffn(layer.norms[1](query + mixed)))
            references = (branch(query) + inverse_sigmoid(before, eps=1e-3)).sigmoid()
        return decoder.norm(query), before


def _level(features: Tensor, sizes: Tensor, input_hw: Sequence[int]) -> Level:
    """A level (B, C, h, w) of images of so many rows and columns (B, 2) in an input of H x W."""
    outside = []  # rows, then columns, of each image: a cell is where its first pixel is
    for axis in (0, 1):
        is_outside = torch.arange(input_hw[axis], device=sizes.device) >= sizes[:, axis, None]  # (B, H)
        shrunk = F.interpolate(is_outside[:, None, :, None].float(), size=(features.shape[2 + axis], 1))
        outside.append(shrunk[:, 0, :, 0] > 0)  # (B, h)
    valid = torch.stack([(~outside[1]).sum(dim=1), (~outside[0]).sum(dim=1)], dim=1)  # (B, 2)
    ratio = torch.stack([valid[:, 0] / features.shape[3], valid[:, 1] / features.shape[2]], dim=1)
    return Level(features, outside[0][:, :, None] | outside[1][:, None], valid, ratio)


def _ratios(levels: Sequence[Level]) -> Tensor:
    """(B, 1, L, 2)."""
    return torch.stack([level.ratio for level in levels], dim=1)[:, None]


def _is_padding(levels: Sequence[Level]) -> Tensor:
    """(B, S) bool."""
    return torch.cat([level.is_padding.flatten(1) for level in levels], dim=1)


def _attend(attention: Any, query: Tensor, memory: Tensor, references: Tensor, levels: Sequence[Level]) -> Tensor:
    """mmcv's ``MultiScaleDeformableAttention`` without what it adds (Deformable DETR, arXiv 2010.04159, equation 3).

    Args:
        attention: its weights.
        query: (B, Q, C), positions added.
        memory: (B, S, C).
        references: (B, Q, L, 2) centres or (B, Q, L, 4) cxcywh, in 0..1 of the level with its padding.
        levels: which the memory is made of.

    Returns:
        (B, Q, C).
    """
    heads, points, sizes = attention.num_heads, attention.num_points, [level.features.shape[-2:] for level in levels]
    values = attention.value_proj(memory).masked_fill(_is_padding(levels)[..., None], 0.0)
    offsets = attention.sampling_offsets(query).unflatten(2, (heads, len(levels), points, 2))  # (B, Q, A, L, P, 2)
    weights = attention.attention_weights(query).unflatten(2, (heads, -1)).softmax(dim=3)  # (B, Q, A, L * P)
    if references.shape[-1] == 4:
        offsets = offsets / points * references[:, :, None, :, None, 2:] * 0.5
    else:
        each = zip(offsets.unbind(dim=3), sizes, strict=True)  # (B, Q, A, P, 2) in cells of the level
        scaled = [
            torch.stack([level[..., 0] / width, level[..., 1] / height], dim=4) for level, (height, width) in each
        ]
        offsets = torch.stack(scaled, dim=3)
    locations = references[:, :, None, :, None, :2] + offsets
    weights, values = weights.unflatten(3, (len(levels), points)), values.unflatten(2, (heads, -1))  # (B, S, A, D)
    return attention.output_proj(multi_scale_deformable_attn_pytorch(values, sizes, locations, weights))
