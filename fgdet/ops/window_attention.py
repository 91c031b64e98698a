"""Attention within windows of a map, beside a token that belongs to all of them (ViTDet, arXiv 2203.16527, section 3).

Axes: N images, H heads, L = 1 + h * w tokens, C channels of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def window_attention(q: Tensor, k: Tensor, v: Tensor, size_hw: tuple[int, int], window: int) -> Tensor:
    """Attention in which a patch sees its own window and the class token, and the class token sees everything.

    Windows tile the map from its upper left corner; those at the right and the bottom border are cut where the map
    ends. ViTDet pads them instead, with patches that take part in the softmax, and has no class token. Cut, and with
    the class token in each, windows that cover the map give exactly global attention.

    Args:
        q: queries (N, H, L, C), the class token's first, then the map's row by row.
        k: keys (N, H, L, C).
        v: values (N, H, L, C).
        size_hw: the map (h, w).
        window: side of a window in patches, at least 1.

    Returns:
        (N, H, L, C).
    """
    height, width = size_hw
    first = F.scaled_dot_product_attention(q[:, :, :1], k, v)  # (N, H, 1, C)
    classes = [each[:, :, :1] for each in (k, v)]
    maps = [each[:, :, 1:].unflatten(2, size_hw) for each in (q, k, v)]  # (N, H, h, w, C)
    rows = []
    for top, bottom in _bands(height, window):
        bands = [each[:, :, top:bottom] for each in maps]
        parts = [
            _attend(
                [each[:, :, :, left:right] for each in bands],
                classes,
                (min(window, bottom - top), min(window, right - left)),
            )
            for left, right in _bands(width, window)
        ]
        rows.append(torch.cat(parts, dim=3))
    return torch.cat([first, torch.cat(rows, dim=2).flatten(2, 3)], dim=2)


def _bands(length: int, window: int) -> list[tuple[int, int]]:
    """The stretch of whole windows, then what is left over; those that are not empty."""
    whole = length // window * window
    return [(start, stop) for start, stop in ((0, whole), (whole, length)) if start < stop]


def masked_window_attention(q: Tensor, k: Tensor, v: Tensor, size_hw: tuple[int, int], window: int) -> Tensor:
    """The same as :func:`window_attention`, without a branch that depends on the size of the map.

    Windows at the border are filled up with patches that nobody sees, so that a traced graph serves maps of any size.
    """
    height, width = size_hw
    right, bottom = -width % window, -height % window
    first = F.scaled_dot_product_attention(q[:, :, :1], k, v)  # (N, H, 1, C)
    classes = [each[:, :, :1] for each in (k, v)]
    maps = [F.pad(each[:, :, 1:].unflatten(2, size_hw), (0, 0, 0, right, 0, bottom)) for each in (q, k, v)]
    is_seen = F.pad(torch.ones_like(q[:, :1, 1:, :1]).unflatten(2, size_hw), (0, 0, 0, right, 0, bottom))
    mixed = _attend(maps, classes, (window, window), is_seen)[:, :, :height, :width]  # (N, H, h, w, C)
    return torch.cat([first, mixed.flatten(2, 3)], dim=2)


def _attend(maps: list[Tensor], classes: list[Tensor], sides: tuple[int, int], is_seen: Tensor | None = None) -> Tensor:
    """Windows of rows and columns ``sides``: queries, keys and values (N, H, h, w, C), the class token's keys and
    values, and (N, 1, h, w, 1), 0 for patches that nobody sees; None: none of them -> (N, H, h, w, C)."""
    num, _, height, width, _ = maps[0].shape
    tall, wide = sides
    down, across = height // tall, width // wide

    def windows(each: Tensor) -> Tensor:
        grid = each.unflatten(3, (across, wide)).unflatten(2, (down, tall))  # (N, H, hn, hs, wn, ws, C)
        return grid.permute(0, 2, 4, 1, 3, 5, 6).flatten(4, 5).flatten(0, 2)  # (N hn wn, H, hs ws, C)

    q, k, v = map(windows, maps)
    k, v = (
        torch.cat([each[:, None].expand(-1, down * across, -1, -1, -1).flatten(0, 1), own], dim=2)
        for each, own in zip(classes, (k, v), strict=True)
    )
    mask = None
    if is_seen is not None:
        mask = F.pad(windows(is_seen).transpose(2, 3) > 0, (1, 0), value=True)  # (N hn wn, 1, 1, 1 + hs ws)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    mixed = mixed.unflatten(0, (num, down, across)).unflatten(4, (tall, wide))  # (N, hn, wn, H, hs, ws, C)
    return mixed.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3)  # (N, H, h, w, C)
