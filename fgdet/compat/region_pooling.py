"""RoIAlign and RoIPool with the signatures of mmcv's C++ bindings: results are written into the given tensors.

RoIAlign: He et al., "Mask R-CNN", https://arxiv.org/abs/1703.06870, section 3; torchvision's kernels.
RoIPool: Girshick, "Fast R-CNN", https://arxiv.org/abs/1504.08083, section 2.1. torchvision rounds a box to whole cells
before it cuts bins, mmcv cuts bins of the exact box; a detector trained with mmcv expects the latter, so it is done
here in torch.

Axes: B images, C channels, H W grid, R regions, P Q pooled height and width.
Regions: (R, 5), index of the image and xyxy in pixels; ``spatial_scale`` turns pixels into cells of the grid.
"""

import torch
import torchvision  # noqa: F401  its kernels are in torch.ops from here on
from torch import Tensor

from fgdet.compat.mmcv_ops import not_covered
from fgdet.compat.precision import widen

MAX = 0  # mmcv's code of max pooling


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average of bilinear samples in each bin of each region.

    Args:
        input: (B, C, H, W).
        rois: (R, 5).
        output: (R, C, P, Q), written.
        argmax_y: empty; only max pooling uses it.
        argmax_x: empty; only max pooling uses it.
        aligned_height: P.
        aligned_width: Q.
        spatial_scale: cells a pixel.
        sampling_ratio: samples a bin in each direction; 0 for one a cell.
        pool_mode: 1, average.
        aligned: shift by half a cell, so that pixel centres are at half-integers.

    Raises:
        NotImplementedError: max pooling.
    """
    if pool_mode == MAX:
        raise not_covered("roi_align with pool_mode='max'")
    pooled = torch.ops.torchvision.roi_align(
        widen(input),
        rois.to(widen(input).dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        sampling_ratio,
        aligned,
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward`: (R, C, P, Q) ``grad_output`` to (B, C, H, W) ``grad_input``, written."""
    if pool_mode == MAX:
        raise not_covered("roi_align with pool_mode='max'")
    grad = widen(grad_output)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad,
            rois.to(grad.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Largest value in each bin of each region, 0 in a bin without cells or a region without area.

    Args:
        input: (B, C, H, W).
        rois: (R, 5); x2 and y2 are the last pixels inside.
        output: (R, C, P, Q), written.
        argmax: (R, C, P, Q) int, written: cell of the largest value as row * W + column, -1 where there is none.
        pooled_height: P.
        pooled_width: Q.
        spatial_scale: cells a pixel.
    """
    height, width = input.shape[2:]
    boxes = widen(rois)[:, 1:]
    starts = boxes[:, :2] * spatial_scale  # (R, 2) x, y
    sizes = (boxes[:, 2:] + 1) * spatial_scale - starts
    rows = _bins(starts[:, 1], sizes[:, 1], pooled_height, height)
    columns = _bins(starts[:, 0], sizes[:, 0], pooled_width, width)
    has_area = (sizes > 0).all(dim=1).tolist()
    for region, image in enumerate(rois[:, 0].long().tolist()):
        output[region], argmax[region] = 0, -1
        if has_area[region]:
            _pool_region(input[image], rows[region], columns[region], output[region], argmax[region])


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Gradient of :func:`roi_pool_forward`: each (R, C, P, Q) entry goes to the winning cell; writes ``grad_input``."""
    _, channels, height, width = grad_input.shape
    planes = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)  # (R, C)
    cells = planes[:, :, None, None] * (height * width) + argmax  # (R, C, P, Q)
    won = argmax >= 0
    grad = widen(grad_output)
    total = grad.new_zeros(grad_input.numel()).index_add_(0, cells[won], grad[won])
    grad_input.copy_(total.view_as(grad_input))


def _bins(starts: Tensor, sizes: Tensor, count: int, limit: int) -> Tensor:
    """First cell and end (exclusive) of each of ``count`` bins along one axis, inside 0..``limit``: (R, count, 2)."""
    step = sizes[:, None] / count
    edges = torch.arange(count + 1, device=starts.device, dtype=starts.dtype) * step + starts[:, None]  # (R, count + 1)
    first, end = edges[:, :-1].floor(), edges[:, 1:].ceil()
    return torch.stack([first, end], dim=2).clamp(0, limit).long()


def _pool_region(features: Tensor, rows: Tensor, columns: Tensor, output: Tensor, argmax: Tensor) -> None:
    """Pool one region of (C, H, W) ``features``, bins (P, 2) and (Q, 2), into (C, P, Q) ``output`` and ``argmax``."""
    filled = (rows[:, 1] > rows[:, 0])[:, None] & (columns[:, 1] > columns[:, 0])  # (P, Q)
    row_cells, column_cells = _cells(rows), _cells(columns)  # (P, h), (Q, w)
    flat = row_cells[:, None, :, None] * features.shape[2] + column_cells[None, :, None, :]  # (P, Q, h, w)
    flat = flat.flatten(2)  # (P, Q, h * w)
    values, best = features.flatten(1)[:, flat].max(dim=3)  # (C, P, Q)
    winners = flat.expand(features.shape[0], -1, -1, -1).gather(3, best[..., None]).squeeze(3)  # (C, P, Q)
    output[:, filled] = values[:, filled]
    argmax[:, filled] = winners[:, filled].to(argmax.dtype)


def _cells(bins: Tensor) -> Tensor:
    """Cells of each bin (P, 2) as (P, longest): shorter bins repeat their last cell, which changes no maximum."""
    longest = max(1, int((bins[:, 1] - bins[:, 0]).max()))
    cells = bins[:, :1] + torch.arange(longest, device=bins.device)
    return torch.minimum(cells, bins[:, 1:] - 1).clamp(min=0)
