"""Region pooling (RoIAlign) as matrix products: exact, deterministic, and without a loop over sample points.

Mask R-CNN's RoIAlign (arXiv:1703.06870, section 3) averages bilinear samples on a regular grid in every bin. The grid
is the product of a grid over rows and a grid over columns, a bilinear weight is the product of two hat functions
``max(0, 1 - |y - row|) * max(0, 1 - |x - column|)``, and whether a sample counts is decided for each axis alone. So a
bin is ``wy^T F wx`` with one weight vector over the rows and one over the columns: border clamping, the adaptive number
of samples and ``aligned`` change the weights only. The weights have no gradient, so the backward pass is a matrix
product too and needs no atomic additions.

Axes: B images, K regions of all images, N regions of one image, C channels, H W rows and columns of the map,
P Q rows and columns of the output, S samples.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torchvision
from torch import Tensor

Implementation = Literal['auto', 'separable', 'torchvision']
IMPLEMENTATIONS = ('auto', 'separable', 'torchvision')

# Regions of several images are pooled in one batched product, padded to the image with most of them. Where that means
# more than twice the regions there are, each image is pooled by itself.
MAX_PADDING = 2.0

# Outputs of several bins are pooled for so many regions at a time that the strips of features between the two products
# stay at 16 MiB in float32. Forward and backward, 7 x 7, 1000 boxes on 64 x 64 x 256: 1.2 s, against 2.6 s at once.
MAX_STRIP_NUMBERS = 2**22

# The products take time with the cells of the map, the loop of torchvision with those of the boxes. Forward and
# backward on one core, 256 channels, 100 boxes of 7 to 13 cells, torchvision's time over ours:
#     map        24    48    64    96   128   200
#     1 x 1     6.2  11.9   5.2   4.4   3.1   1.8
#     2 x 2     9.4   2.3   2.1   1.3   1.0   0.4
#     7 x 7     5.8   2.5   1.8   1.0   0.8   0.2
#     14 x 14   4.3   2.0   1.7   1.3   0.7   0.2
# (boxes of up to half the map: 17.2, 2.9, 1.7 and 1.0 at 200). So beyond this many cells 'auto' leaves several bins to
# torchvision.
MAX_SEPARABLE_CELLS = 96 * 96


def region_pool(
    features: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int] = 1,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = True,
    implementation: Implementation = 'auto',
) -> Tensor:
    """Average the features inside each box, with the arguments and the result of ``torchvision.ops.roi_align``.

    Computed in float32 (float64 for float64 features), under autocast too, and returned in the dtype of ``features``.
    The gradient reaches ``features`` only, and is the same bits on every run.

    Boxes for which torchvision raises an error on some devices, or whose result it leaves open, are defined: a box with
    a coordinate that is not finite gives zeros; so does, with ``aligned`` and adaptive sampling, a box without extent
    or reversed along an axis (x2 <= x1 or y2 <= y1), which has no samples. Without ``aligned`` such an extent counts
    as 1; with a fixed number of samples they run from the first corner to the second, whichever is larger.

    Args:
        features: (B, C, H, W), a floating dtype.
        boxes: B tensors (N_i, 4) xyxy, one per image; or one tensor (K, 5), the index of the image first, in any order.
        output_size: bins along both axes, or (rows, columns).
        spatial_scale: cells per unit of ``boxes``: 1 / stride for boxes in pixels.
        sampling_ratio: samples per bin and axis; 0 or less: one per started cell, ceil(extent of the bin).
        aligned: the centre of the first cell is at 0.5 (True) or at 0 (False, which also lifts extents below 1 to 1).
        implementation: 'separable' is what this module is about; 'torchvision' calls torchvision's operator, whose
            backward pass on a GPU is not deterministic; 'auto' is 'torchvision' for several bins on a map of more than
            ``MAX_SEPARABLE_CELLS`` (never under ``torch.use_deterministic_algorithms``, torch.compile or export), else
            'separable'.

    Returns:
        (K, C, rows, columns), the regions in the order of ``boxes``; K may be 0.

    Raises:
        ValueError: an argument of the wrong shape, dtype or value, a list whose length is not B, or an image index
            outside of 0 .. B - 1.
    """
    sampling = Sampling(*_output_hw(output_size), spatial_scale, sampling_ratio, aligned)
    _check(features, boxes, implementation)
    if implementation == 'auto':
        implementation = 'torchvision' if _prefers_torchvision(features, sampling) else 'separable'
    dtype = torch.promote_types(features.dtype, torch.float32)
    boxes = boxes.detach().to(dtype) if isinstance(boxes, Tensor) else [b.detach().to(dtype) for b in boxes]
    with torch.autocast(features.device.type, enabled=False):
        if implementation == 'torchvision':
            pooled = _pool_torchvision(features.to(dtype), boxes, sampling)
        elif isinstance(boxes, Tensor):
            pooled = _pool_indexed(features.to(dtype), boxes, sampling)
        else:
            pooled = _pool_listed(features.to(dtype), boxes, sampling)
    return pooled.to(features.dtype)


class Sampling(NamedTuple):
    """Where a region is sampled; the fields are arguments of :func:`region_pool`."""

    rows: int
    columns: int
    spatial_scale: float
    sampling_ratio: int
    aligned: bool


@torch.no_grad()
def axis_weights(start: Tensor, end: Tensor, bins: int, length: int, sampling_ratio: int, aligned: bool) -> Tensor:
    """Weights of the cells along one axis, for every region and bin.

    A sample at y counts where -1 <= y <= length and is clamped to 0 .. length - 1; a bin is the sum over its samples of
    ``max(0, 1 - |y - cell|)`` over their number. Positions are computed in torchvision's order of operations, so that a
    sample which rounding puts on either side of a bound is on the same side here.

    With adaptive sampling the number of samples differs per region, and only those within one cell of a cell matter to
    it. n > 1 samples lie more than (n - 1) / n of a cell apart, so at most 3 do (closed ends included); 4 consecutive
    ones starting at the last sample at or before the lower end are looked at, one to spare for rounding.

    Args:
        start: (K,) lower ends, in cells with the centre of the first cell at 0.
        end: (K,) upper ends.
        bins: number of bins P.
        length: number of cells L.
        sampling_ratio: samples per bin; 0 or less: ceil(extent of the bin).
        aligned: False lifts extents below 1 to 1.

    Returns:
        (K, P, L), not negative; each row sums to at most 1.
    """
    extent = end - start if aligned else (end - start).clamp(min=1)
    cells = torch.arange(length, device=start.device, dtype=start.dtype)  # (L,)
    bin_index = torch.arange(bins, device=start.device, dtype=start.dtype)[:, None]
    bin_extent = (extent / bins)[:, None, None]
    origin = start[:, None, None] + bin_index * bin_extent  # (K, P, 1)
    num_candidates = sampling_ratio if sampling_ratio > 0 else 4
    index = torch.arange(num_candidates, device=start.device, dtype=start.dtype)[:, None, None, None]  # (S, 1, 1, 1)
    if sampling_ratio > 0:
        count = torch.full_like(bin_extent, sampling_ratio)
    else:
        count = bin_extent.ceil().clamp(min=0)  # (K, 1, 1)
        before = ((cells - 1 - origin) * (count / bin_extent) - 0.5).floor()  # (K, P, L)
        index = index + before.clamp(min=0).minimum((count - 1).clamp(min=0))  # (S, K, P, L)
    position = origin + (index + 0.5) * bin_extent / count  # (S, K, P, L or 1)
    hat = (1 - (position.clamp(0, length - 1) - cells).abs()).clamp(min=0)  # (S, K, P, L)
    counts = (position >= -1) & (position <= length) & (index < count)
    return torch.where(counts, hat / count, 0.0).sum(0)  # (K, P, L)


def _prefers_torchvision(features: Tensor, sampling: Sampling) -> bool:
    if torch.compiler.is_compiling() or torch.are_deterministic_algorithms_enabled():
        return False
    return sampling.rows * sampling.columns > 1 and features.shape[2] * features.shape[3] > MAX_SEPARABLE_CELLS


def _pool_torchvision(features: Tensor, boxes: Tensor | list[Tensor], sampling: Sampling) -> Tensor:
    """``torchvision.ops.roi_align``, with the boxes that it refuses or leaves undefined replaced."""
    rows, columns, spatial_scale, sampling_ratio, aligned = sampling

    def defined(rois: Tensor) -> Tensor:
        x1, y1, x2, y2 = rois[:, -4:].unbind(1)
        bad = ~rois.isfinite().all(1)
        if aligned and sampling_ratio <= 0:
            bad = bad | (x2 < x1) | (y2 < y1)
        outside = torch.full_like(rois[:, -4:], -9 / spatial_scale)  # no extent, and beyond the border
        return torch.cat([rois[:, :-4], torch.where(bad[:, None], outside, rois[:, -4:])], 1)

    if not len(boxes):
        return features.new_zeros(0, features.shape[1], rows, columns)
    rois = defined(boxes) if isinstance(boxes, Tensor) else [defined(b) for b in boxes]
    return torchvision.ops.roi_align(features, rois, (rows, columns), spatial_scale, sampling_ratio, aligned)


def _pool_indexed(features: Tensor, boxes: Tensor, sampling: Sampling) -> Tensor:
    """Pool boxes (K, 5) that name their image, in any order. Returns (K, C, P, Q)."""
    num_images, channels, height, width = features.shape
    image, corners = boxes[:, 0].long(), boxes[:, 1:]
    if torch.compiler.is_compiling():
        # Sorting by image would make shapes depend on values: stack the images into one tall map instead, where a
        # region has weights in the rows of its own image only.
        wy, wx = _weights(corners, height, width, sampling)
        own = image[:, None] == torch.arange(num_images, device=image.device)  # (K, B)
        wy = (wy[:, :, None] * own[:, None, :, None]).flatten(2)  # (K, P, B * H)
        tall = features.transpose(0, 1).reshape(1, channels, num_images * height, width)
        return _contract(tall, wy[None], wx[None])[0]
    if len(image) and not 0 <= int(image.min()) <= int(image.max()) < num_images:
        found = image.unique().tolist()
        raise ValueError(f'boxes: expected image indices in 0..{num_images - 1} in column 0, got {found}')
    order = image.argsort(stable=True)
    counts = torch.bincount(image, minlength=num_images).tolist()
    return _pool_listed(features, list(corners[order].split(counts)), sampling).index_select(0, order.argsort())


def _pool_listed(features: Tensor, boxes: list[Tensor], sampling: Sampling) -> Tensor:
    """Pool B tensors (N_i, 4). Returns (K, C, P, Q)."""
    counts = [len(b) for b in boxes]
    if len(boxes) > 1 and (torch.compiler.is_compiling() or len(boxes) * max(counts) > MAX_PADDING * sum(counts)):
        each = [_pool_listed(image, [b], sampling) for image, b in zip(features.split(1), boxes, strict=True)]
        return torch.cat(each)
    flat = boxes[0] if len(boxes) == 1 else torch.cat([features.new_zeros(0, 4), *boxes])
    wy, wx = _weights(flat, features.shape[2], features.shape[3], sampling)
    if len(boxes) == 1:
        return _contract(features, wy[None], wx[None])[0]
    grid = (len(boxes), max(counts, default=0))
    if grid[0] * grid[1] == len(flat):
        return _contract(features, wy.unflatten(0, grid), wx.unflatten(0, grid)).flatten(0, 1)
    slots = (torch.arange(grid[1]) < torch.tensor(counts)[:, None]).flatten().nonzero()[:, 0].to(flat.device)
    wy, wx = (w.new_zeros(grid[0] * grid[1], *w.shape[1:]).index_copy(0, slots, w) for w in (wy, wx))
    pooled = _contract(features, wy.unflatten(0, grid), wx.unflatten(0, grid))
    return pooled.flatten(0, 1).index_select(0, slots)


def _weights(boxes: Tensor, height: int, width: int, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Weights of the rows (K, P, H) and of the columns (K, Q, W) for boxes (K, 4)."""
    rows, columns, spatial_scale, sampling_ratio, aligned = sampling
    x1, y1, x2, y2 = (boxes * spatial_scale - (0.5 if aligned else 0.0)).unbind(1)
    if rows == columns and height == width:  # one call for both: with few regions it is the calls that take time
        start, end = torch.cat([y1, x1]), torch.cat([y2, x2])
        wy, wx = axis_weights(start, end, rows, height, sampling_ratio, aligned).unflatten(0, (2, -1)).unbind(0)
    else:
        wy = axis_weights(y1, y2, rows, height, sampling_ratio, aligned)
        wx = axis_weights(x1, x2, columns, width, sampling_ratio, aligned)
    return wy, wx


def _contract(features: Tensor, wy: Tensor, wx: Tensor) -> Tensor:
    """``wy^T F wx`` for (B, C, H, W), (B, N, P, H) and (B, N, Q, W). Returns (B, N, C, P, Q)."""
    rows, (columns, width) = wy.shape[2], wx.shape[2:]
    if rows == columns == 1:
        weights = (wy[:, :, 0, :, None] * wx[:, :, 0, None, :]).flatten(2)  # (B, N, H * W)
        # Not weights @ features: this order leaves the features, and so their gradient, as they lie in memory.
        pooled = features.flatten(2) @ weights.transpose(1, 2)  # (B, C, N)
        return pooled.transpose(1, 2)[..., None, None]
    channels_last = features.permute(0, 2, 3, 1).flatten(2)  # (B, H, W * C)

    def pool(wy: Tensor, wx: Tensor) -> Tensor:
        strips = (wy.flatten(1, 2) @ channels_last).unflatten(2, (width, -1))  # (B, N * P, W, C)
        pooled = wx[:, :, None] @ strips.unflatten(1, (-1, rows))  # (B, N, P, Q, C)
        return pooled.permute(0, 1, 4, 2, 3)

    if torch.compiler.is_compiling():
        return pool(wy, wx)
    at_once = max(1, MAX_STRIP_NUMBERS // max(1, len(features) * rows * width * features.shape[1]))
    return torch.cat([pool(y, x) for y, x in zip(wy.split(at_once, 1), wx.split(at_once, 1), strict=True)], 1)


def _output_hw(output_size: int | tuple[int, int]) -> tuple[int, int]:
    sizes = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    if len(sizes) != 2 or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f'output_size: expected a positive int or two of them (rows, columns), got {output_size!r}')
    return sizes


def _check(features: Tensor, boxes: Tensor | Sequence[Tensor], implementation: str) -> None:
    """Raise the ValueErrors of :func:`region_pool` that need no tensor values."""
    if features.ndim != 4 or not features.is_floating_point():
        raise ValueError(f'features: expected (B, C, H, W) floats, got {tuple(features.shape)} {features.dtype}')
    if isinstance(boxes, Tensor):
        if boxes.ndim != 2 or boxes.shape[1] != 5:
            raise ValueError(f'boxes: expected (K, 5) or a list of (N, 4), got a tensor {tuple(boxes.shape)}')
    elif len(boxes) != len(features):
        raise ValueError(f'boxes: expected one tensor for each of the {len(features)} images, got {len(boxes)}')
    elif any(b.ndim != 2 or b.shape[1] != 4 for b in boxes):
        raise ValueError(f'boxes: expected a list of (N, 4), got shapes {[tuple(b.shape) for b in boxes]}')
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f'implementation: expected one of {IMPLEMENTATIONS}, got {implementation!r}')
