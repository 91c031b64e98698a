"""Attention inside token trees: a node sees itself and its ancestors.

Axes: N nodes, U ends of distinct texts, R rows of up to n nodes and m ends in a bucket, S and E places of all buckets
for nodes and for ends, D channels, H heads.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fgdet.ops.token_tree import TokenTree

# Rows of one call of attention are filled up to the longest; the shortest has at least this share of its length.
_LEAST_FILL = 0.6


class _Bucket(NamedTuple):
    """Rows of about the same length."""

    shape: torch.Size  # R, n
    mask: Tensor  # (R, 1, n, n)
    end_shape: torch.Size  # R, m
    end_mask: Tensor  # (R, 1, m, n)


class TreeAttention:
    """Scaled-dot-product attention of a tree's nodes, in few calls on rows of about the same length.

    Args:
        tree: the texts.
        num_heads: heads H.
        device: where the queries will be.
    """

    def __init__(self, tree: TokenTree, num_heads: int, device: torch.device | str = 'cpu') -> None:
        self.num_heads = num_heads
        self._buckets: list[_Bucket] = []
        starts = torch.tensor(tree.row_starts[:-1], dtype=torch.int64)
        sizes = torch.tensor(tree.row_starts[1:], dtype=torch.int64) - starts
        ends = tree.text_nodes.unique()
        end_starts = torch.searchsorted(ends, starts)
        end_sizes = torch.searchsorted(ends, starts + sizes) - end_starts
        self.ends = ends.to(device)
        last_descendants = tree.ends.to(device)
        places, end_places = [], []
        for rows in _similar(sizes):
            nodes, end_numbers = _fill(starts[rows], sizes[rows]), _fill(end_starts[rows], end_sizes[rows])
            columns = torch.where(end_numbers >= 0, ends[end_numbers.clamp_min(0)] - starts[rows][:, None], 0)
            mask = _ancestors(nodes.to(device), last_descendants)
            end_mask = mask.gather(1, columns.to(device)[..., None].expand(-1, -1, mask.shape[2]))
            self._buckets.append(_Bucket(nodes.shape, mask[:, None], end_numbers.shape, end_mask[:, None]))
            places.append(nodes.flatten())
            end_places.append(end_numbers.flatten())
        self._nodes, self._node_places = _both_ways(places, len(tree.tokens), device)
        self._nodes.clamp_(min=0)  # a place that is filled up sees itself alone, so that it may hold anything
        self._ends, self._end_places = _both_ways(end_places, len(ends), device)

    def attend(self, qkv: Tensor) -> Tensor:
        """Every node: (N, 3 D) queries, keys and values -> (N, D)."""
        rows = _Move.apply(qkv, self._nodes, self._node_places).unflatten(1, (3, self.num_heads, -1))  # (S, 3, H, D/H)
        mixed = [qkv[:0, : qkv.shape[1] // 3]]
        for bucket, part in zip(
            self._buckets, rows.split([bucket.shape.numel() for bucket in self._buckets]), strict=True
        ):
            q, k, v = part.unflatten(0, bucket.shape).permute(2, 0, 3, 1, 4)  # 3 x (R, H, n, D/H)
            mixed.append(_attention(q, k, v, bucket.mask))
        return _Move.apply(torch.cat(mixed), self._node_places, self._nodes)

    def attend_ends(self, queries: Tensor, keys_values: Tensor) -> Tensor:
        """The ends of the texts alone: queries (U, D) in the order of ``ends``, keys and values (N, 2 D) -> (U, D)."""
        rows = _Move.apply(keys_values, self._nodes, self._node_places).unflatten(1, (2, self.num_heads, -1))
        ends = _Move.apply(queries, self._ends, self._end_places, True).unflatten(
            1, (self.num_heads, -1)
        )  # (E, H, D/H)
        row_parts = rows.split([bucket.shape.numel() for bucket in self._buckets])
        end_parts = ends.split([bucket.end_shape.numel() for bucket in self._buckets])
        mixed = [queries[:0]]
        for bucket, part, end_part in zip(self._buckets, row_parts, end_parts, strict=True):
            k, v = part.unflatten(0, bucket.shape).permute(2, 0, 3, 1, 4)  # 2 x (R, H, n, D/H)
            q = end_part.unflatten(0, bucket.end_shape).transpose(1, 2)  # (R, H, m, D/H)
            mixed.append(_attention(q, k, v, bucket.end_mask))
        return _Move.apply(torch.cat(mixed), self._end_places, self._ends, True)


class _Move(torch.autograd.Function):
    """Take rows of a tensor, of which ``back`` knows where each one went: the backward pass takes rows too.

    That is faster than adding gradients up, and the same each time on every device. With ``zeros``, -1 in either index
    is a row of zeros.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, back: Tensor, zeros: bool = False) -> Tensor:
        ctx.save_for_backward(back)
        ctx.zeros = zeros
        return _take(x, index, zeros)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (back,) = ctx.saved_tensors
        return _take(grad, back, ctx.zeros), None, None, None


def _take(x: Tensor, index: Tensor, zeros: bool) -> Tensor:
    if not zeros:
        return x.index_select(0, index)
    return x.index_select(0, index.clamp_min(0)).masked_fill_((index < 0)[:, None], 0)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """(R, H, m, d), twice (R, H, n, d), (R, 1, m, n) -> (R * m, H * d)."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2).flatten(0, 1)


def _similar(sizes: Tensor) -> list[Tensor]:
    """Row numbers in groups of similar sizes, the largest first."""
    order = sizes.argsort(descending=True, stable=True)
    groups: list[list[int]] = []
    largest = 0
    for row, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if not groups or size < _LEAST_FILL * largest:
            groups.append([row])
            largest = size
        else:
            groups[-1].append(row)
    return [torch.tensor(group) for group in groups]


def _fill(starts: Tensor, sizes: Tensor) -> Tensor:
    """Ranges of numbers, one a row, filled up with -1: (R,), (R,) -> (R, n)."""
    steps = torch.arange(int(sizes.max()))
    return torch.where(steps < sizes[:, None], starts[:, None] + steps, -1)


def _ancestors(nodes: Tensor, ends: Tensor) -> Tensor:
    """Whether the second node is the first or its ancestor, (R, n) -> (R, n, n); -1 is seen by nobody but itself."""
    first, second = nodes[..., None], nodes[:, None, :]
    mask = (second >= 0) & (second <= first) & (first < ends[second.clamp_min(0)])
    return mask | torch.eye(nodes.shape[1], dtype=torch.bool, device=nodes.device)


def _both_ways(places: list[Tensor], count: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Which of ``count`` numbers stands at each place, and the place of each number."""
    numbers = torch.cat(places) if places else torch.zeros(0, dtype=torch.int64)
    back = torch.empty(count, dtype=torch.int64)
    real = numbers >= 0
    back[numbers[real]] = torch.arange(len(numbers))[real]
    return numbers.to(device), back.to(device)
