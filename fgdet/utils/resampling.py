"""Tables of positions at lengths other than their own.

Axes: T rows, D width, g native grid side, h x w wanted grid.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def interpolate_grid(table: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize a class-token-first table of a square grid to any grid.

    Bicubic without antialiasing, pixel centres unaligned, as the official FG-CLIP code does.

    Args:
        table: (1 + g * g, D), the class token's row first, then the grid row-major.
        size_hw: the wanted grid (h, w).

    Returns:
        (1 + h * w, D); ``table`` itself where the grid is the native one.
    """
    side = round((table.shape[0] - 1) ** 0.5)
    if tuple(size_hw) == (side, side):
        return table
    grid = table[1:].unflatten(0, (side, side)).permute(2, 0, 1)[None]  # (1, D, g, g)
    grid = F.interpolate(grid, size=size_hw, mode='bicubic', align_corners=False)
    return torch.cat([table[:1], grid[0].flatten(1).T])  # (1 + h * w, D)


def stretch_positions(table: Tensor, length: int = 248, kept: int = 20, factor: int = 4) -> Tensor:
    """Stretch a text position table: keep the first rows, interpolate the others ``factor`` times denser.

    Row i >= kept stands at position ``kept + (i - kept) / factor`` of the old table; beyond its last row the table is
    continued by its last slope (FG-CLIP, arXiv 2505.05071, 3.1, after Long-CLIP, arXiv 2403.15378, 3.1).

    Args:
        table: (T, D), T > kept + 1.
        length: rows wanted, ``kept + factor * (T - kept)`` for the published 77 -> 248.
        kept: rows copied unchanged.
        factor: new rows per old row.

    Returns:
        (length, D).

    Raises:
        ValueError: the table is too short for the wanted length.
    """
    if not kept + 1 < len(table) or length > kept + factor * (len(table) - kept):
        raise ValueError(
            f'{len(table)} positions cannot be stretched to {length} ({kept} kept, the rest {factor} times)'
        )
    position = torch.arange(length - kept, device=table.device)
    lower = kept + position // factor
    fraction = (position % factor / factor)[:, None].to(table.dtype)
    extended = torch.cat([table, 2 * table[-1:] - table[-2:-1]])
    stretched = (1 - fraction) * extended[lower] + fraction * extended[lower + 1]
    return torch.cat([table[:kept], stretched])
