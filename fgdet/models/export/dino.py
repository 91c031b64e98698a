"""DINO as a function of tensors.

mmdet's own forward asks the sizes of its levels from tensors, which a graph of any size cannot; here they are numbers
of the trace. The layers and their weights are the detector's.

Axes: B images, H x W pixels, L levels of h x w cells, S cells of all levels, Q queries, C channels, A attention heads,
P points of a head, D channels of a head, K names, N negative prompts.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from mmdet.models.layers import coordinate_to_encoding, inverse_sigmoid
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn

from fgdet.models.export.selection import Classes, select
from fgdet.models.export.suppression import cells_of, rows_of

#: Stands for the logit of a cell that is chosen when there are no others.
LAST = -1e30


class ExportableDINO(nn.Module):
    """What an ``OpenVocabularyDINO`` predicts for images that fill the network's input.

    Args:
        detector: with a vocabulary in use.
    """

    outputs = ('boxes', 'scores', 'labels')

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) normalised pixels -> what :func:`~fgdet.models.export.selection.select` gives."""
        detector, head = self.detector, self.detector.bbox_head
        *taps, dense = detector.backbone(pixels)
        levels = detector.neck(tuple(taps))
        sizes = [each.shape[-2:] for each in levels]
        centres = [_centres(each, pixels) for each in sizes]  # of each level (h * w, 2)
        memory = self._encode(levels, sizes, torch.cat(centres))  # (B, S, C)
        classes = Classes(head.class_embeddings, head.is_trained, head.num_negatives)
        references, is_query = self._propose(memory, centres, classes)  # (B, Q, 4), (Q,)
        hidden, references = self._decode(memory, sizes, references, is_query)  # what the last layer began with
        last = detector.decoder.num_layers - 1
        boxes = (head.reg_branches[last](hidden).float() + inverse_sigmoid(references)).sigmoid()
        height, width = pixels.shape[-2:]
        x, y = bbox_cxcywh_to_xyxy(boxes).clamp(0, 1).unflatten(2, (2, 2)).unbind(dim=3)  # (B, Q, 2) each
        boxes = torch.stack([x * width, y * height], dim=3).flatten(2)  # (B, Q, 4)
        scores = head.cls_branches[last](hidden).float().sigmoid() * is_query[:, None]  # (B, Q, K + N)
        return select(boxes, scores, dense, detector.backbone.visual.patch_size, classes, head.test_cfg)

    def _encode(self, levels: Sequence[Tensor], sizes: Sequence[Any], centres: Tensor) -> Tensor:
        """Levels (B, C, h, w) -> memory (B, S, C)."""
        detector = self.detector
        memory = cells_of(levels)
        positions = cells_of(
            [
                detector.positional_encoding(None, input=level) + embedding[:, None, None]
                for level, embedding in zip(levels, detector.level_embed, strict=True)
            ]
        )
        for layer in detector.encoder.layers:
            mixed = _attend(layer.self_attn, memory + positions, memory, centres[None, :, None], sizes)
            memory = layer.norms[1](layer.ffn(layer.norms[0](memory + mixed)))
        return memory

    def _propose(self, memory: Tensor, centres: list[Tensor], classes: Classes) -> tuple[Tensor, Tensor]:
        """Memory (B, S, C) -> cxcywh in 0..1 of the cells that fit a name best (B, Q, 4), and (Q,) bool, False for what
        only fills up, where there are fewer cells than queries."""
        detector, head = self.detector, self.detector.bbox_head
        sides = [torch.full_like(each, 0.05 * 2.0**level) for level, each in enumerate(centres)]
        anchors = torch.cat([torch.cat(centres), torch.cat(sides)], dim=1)  # (S, 4)
        is_valid = ((anchors > 0.01) & (anchors < 0.99)).all(dim=1, keepdim=True)  # (S, 1)
        anchors = torch.where(is_valid, torch.log(anchors / (1 - anchors)), torch.inf)
        encoded = detector.memory_trans_norm(detector.memory_trans_fc(memory * is_valid))
        logits = head.cls_branches[-1](encoded)  # (B, S, K + N)
        names = logits[..., : -classes.num_negatives] if classes.num_negatives else logits
        fit = torch.where(is_valid[:, 0], names.amax(dim=2), LAST)
        places = F.pad(fit, (0, detector.num_queries), value=-torch.inf).topk(detector.num_queries, dim=1).indices
        places = torch.where(places < memory.shape[1], places, 0)  # (B, Q)
        deltas = head.reg_branches[-1](rows_of(encoded, places)).float()
        is_query = torch.arange(detector.num_queries, device=memory.device) < memory.shape[1]
        return (deltas + anchors[places]).sigmoid(), is_query

    def _decode(
        self, memory: Tensor, sizes: Sequence[Any], references: Tensor, is_query: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the queries became (B, Q, C), and the boxes (B, Q, 4) that the last layer began with."""
        detector, decoder = self.detector, self.detector.decoder
        query = detector.query_embedding.weight.expand(memory.shape[0], -1, -1)
        unseen = ~is_query.expand(query.shape[1], -1)  # (Q, Q)
        before = references
        for layer, branch in zip(decoder.layers, detector.bbox_head.reg_branches, strict=False):
            before = references
            position = decoder.ref_point_head(coordinate_to_encoding(before, num_feats=query.shape[2]))
            query = layer.self_attn(query, query, query, query_pos=position, key_pos=position, attn_mask=unseen)
            query = layer.norms[0](query)
            mixed = _attend(layer.cross_attn, query + position, memory, before[:, :, None], sizes)
            query = layer.norms[2](layer.ffn(layer.norms[1](query + mixed)))
            references = (branch(query) + inverse_sigmoid(before, eps=1e-3)).sigmoid()
        return decoder.norm(query), before


def _centres(size_hw: Any, like: Tensor) -> Tensor:
    """The centres of h x w cells (h * w, 2) as (x, y) in 0..1."""
    height, width = size_hw
    x = (torch.arange(width, device=like.device) + 0.5) / width
    y = (torch.arange(height, device=like.device) + 0.5) / height
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=2).flatten(0, 1)


def _attend(attention: Any, query: Tensor, memory: Tensor, references: Tensor, sizes: Sequence[Any]) -> Tensor:
    """mmcv's ``MultiScaleDeformableAttention`` without what it adds (Deformable DETR, arXiv 2010.04159, equation 3).

    Args:
        attention: its weights.
        query: (B, Q, C), positions added.
        memory: (B, S, C).
        references: (B or 1, Q, 1, 2) centres or (B, Q, 1, 4) cxcywh, in 0..1.
        sizes: height and width of each level; they may be symbolic.

    Returns:
        (B, Q, C).
    """
    heads, levels, points = attention.num_heads, attention.num_levels, attention.num_points
    values = attention.value_proj(memory).unflatten(2, (heads, -1))  # (B, S, A, D)
    offsets = attention.sampling_offsets(query).unflatten(2, (heads, levels, points, 2))  # (B, Q, A, L, P, 2)
    weights = attention.attention_weights(query).unflatten(2, (heads, -1)).softmax(dim=3)  # (B, Q, A, L * P)
    if references.shape[-1] == 4:
        offsets = offsets / points * references[:, :, :, None, None, 2:] * 0.5
    else:
        each = zip(offsets.unbind(dim=3), sizes, strict=True)  # (B, Q, A, P, 2) in cells of the level
        scaled = [
            torch.stack([level[..., 0] / width, level[..., 1] / height], dim=4) for level, (height, width) in each
        ]
        offsets = torch.stack(scaled, dim=3)
    locations = references[:, :, :, None, None, :2] + offsets
    weights = weights.unflatten(3, (levels, points))
    return attention.output_proj(multi_scale_deformable_attn_pytorch(values, sizes, locations, weights))
