"""mmcv.ops.RoIAlign and RoIPool against loops over bins and samples."""

import math

import pytest
import torch
from mmcv.ops import RoIAlign, RoIPool, roi_align, roi_pool
from torch import Tensor

# Index of the image and xyxy: inside, over the border, of no area, larger than the grid, in the other image.
REGIONS = [[0, 1.3, 2.2, 9.1, 8.7], [1, -4.0, -3.0, 6.5, 5.0], [0, 5.0, 5.0, 5.0, 5.0], [1, -2.0, 0.0, 40.0, 30.0]]


def sample(plane: Tensor, y: float, x: float) -> Tensor:
    """Bilinear value at (y, x), clamped within a cell of the border and 0 beyond, as RoIAlign defines it."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return plane.new_zeros(())
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = y - top, x - left
    upper = (1 - u) * plane[top, left] + u * plane[top, right]
    return (1 - v) * upper + v * ((1 - u) * plane[bottom, left] + u * plane[bottom, right])


def naive_roi_align(
    features: Tensor, rois: Tensor, size: tuple[int, int], scale: float, ratio: int, aligned: bool
) -> Tensor:
    shift = 0.5 if aligned else 0.0
    pooled = []
    for image, *box in rois.tolist():
        x1, y1, x2, y2 = (edge * scale - shift for edge in box)
        height, width = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1.0), max(x2 - x1, 1.0))
        rows = ratio if ratio > 0 else math.ceil(height / size[0])
        columns = ratio if ratio > 0 else math.ceil(width / size[1])
        for plane in features[int(image)]:
            for p in range(size[0]):
                for q in range(size[1]):
                    total = plane.new_zeros(())
                    for i in range(rows):
                        for j in range(columns):
                            y = y1 + (p + (i + 0.5) / rows) * height / size[0]
                            x = x1 + (q + (j + 0.5) / columns) * width / size[1]
                            total = total + sample(plane, y, x)
                    pooled.append(total / max(rows * columns, 1))
    return torch.stack(pooled).view(len(rois), features.shape[1], *size)


def naive_roi_pool(features: Tensor, rois: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    grid_height, grid_width = features.shape[2:]
    pooled = []
    for image, x1, y1, x2, y2 in rois.tolist():
        left, top, height, width = x1 * scale, y1 * scale, (y2 + 1 - y1) * scale, (x2 + 1 - x1) * scale
        for plane in features[int(image)]:
            for p in range(size[0]):
                for q in range(size[1]):
                    first_row = max(math.floor(top + p * height / size[0]), 0)
                    end_row = min(math.ceil(top + (p + 1) * height / size[0]), grid_height)
                    first_column = max(math.floor(left + q * width / size[1]), 0)
                    end_column = min(math.ceil(left + (q + 1) * width / size[1]), grid_width)
                    cells = plane[first_row:end_row, first_column:end_column]
                    empty = height <= 0 or width <= 0 or cells.numel() == 0
                    pooled.append(plane.new_zeros(()) if empty else cells.max())
    return torch.stack(pooled).view(len(rois), features.shape[1], *size)


@pytest.fixture
def features(generator: torch.Generator) -> Tensor:
    return torch.randn(2, 2, 7, 9, dtype=torch.float64, generator=generator)


@pytest.fixture
def rois() -> Tensor:
    return torch.tensor(REGIONS, dtype=torch.float64)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_roi_align__value_and_gradient(
    device: str, features: Tensor, rois: Tensor, scale: float, ratio: int, aligned: bool
) -> None:
    layer = RoIAlign((2, 3), scale, ratio, aligned=aligned)
    features.requires_grad_()
    moved = features.detach().to(device).requires_grad_()
    expected = naive_roi_align(features, rois, (2, 3), scale, ratio, aligned)
    pooled = layer(moved, rois.to(device))
    torch.testing.assert_close(pooled.cpu(), expected)
    upstream = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).view_as(expected)
    (expected_grad,) = torch.autograd.grad(expected, features, upstream)
    (grad,) = torch.autograd.grad(pooled, moved, upstream.to(device))
    torch.testing.assert_close(grad.cpu(), expected_grad)


def test_roi_align__gradcheck(features: Tensor, rois: Tensor) -> None:
    assert torch.autograd.gradcheck(lambda x: roi_align(x, rois, 2, 0.5, 0, 'avg', True), features.requires_grad_())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align__half_precision(device: str, features: Tensor, rois: Tensor, dtype: torch.dtype) -> None:
    rois = rois.to(dtype)
    low = features.to(device, dtype).requires_grad_()
    pooled = roi_align(low, rois.to(device), 2, 1.0, 2, 'avg', True)
    (grad,) = torch.autograd.grad(pooled.sum(), low)
    assert pooled.dtype == grad.dtype == dtype
    expected = naive_roi_align(low.detach().cpu().double(), rois, (2, 2), 1.0, 2, True)
    torch.testing.assert_close(pooled.detach().cpu(), expected.to(dtype))


def test_roi_align__no_regions(device: str, features: Tensor) -> None:
    moved = features.to(device).requires_grad_()
    pooled = roi_align(moved, torch.zeros(0, 5, dtype=torch.float64, device=device), 7, 1.0, 0, 'avg', True)
    assert pooled.shape == (0, 2, 7, 7)
    (grad,) = torch.autograd.grad(pooled.sum(), moved)
    assert not grad.any()


def test_roi_align__max_mode_is_not_covered(features: Tensor, rois: Tensor) -> None:
    with pytest.raises(NotImplementedError, match=r"roi_align with pool_mode='max'.*pip install --no-build-isolation"):
        roi_align(features, rois, 2, 1.0, 0, 'max', True)


@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_roi_pool__value_and_gradient(device: str, features: Tensor, rois: Tensor, scale: float) -> None:
    features.requires_grad_()
    moved = features.detach().to(device).requires_grad_()
    expected = naive_roi_pool(features, rois, (3, 2), scale)
    pooled = RoIPool((3, 2), scale)(moved, rois.to(device))
    torch.testing.assert_close(pooled.cpu(), expected)
    upstream = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).view_as(expected)
    (expected_grad,) = torch.autograd.grad(expected, features, upstream)
    (grad,) = torch.autograd.grad(pooled, moved, upstream.to(device))
    torch.testing.assert_close(grad.cpu(), expected_grad)


def test_roi_pool__whole_cells_as_torchvision(device: str, features: Tensor) -> None:
    torchvision = pytest.importorskip('torchvision')
    rois = torch.tensor([[0, 1, 2, 6, 5], [1, 0, 0, 8, 6]], dtype=torch.float64, device=device)
    moved = features.to(device)
    torch.testing.assert_close(roi_pool(moved, rois, 2, 1.0), torchvision.ops.roi_pool(moved, rois, 2, 1.0))


def test_roi_pool__region_without_area_gives_zero_and_no_gradient(device: str) -> None:
    features = torch.ones(1, 1, 4, 4, device=device, requires_grad=True)
    pooled = roi_pool(features, torch.tensor([[0.0, 3, 3, 1, 1]], device=device), 2, 1.0)
    (grad,) = torch.autograd.grad(pooled.sum(), features)
    assert not pooled.any()
    assert not grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_pool__half_precision(device: str, features: Tensor, rois: Tensor, dtype: torch.dtype) -> None:
    rois = rois.to(dtype)
    low = features.to(device, dtype).requires_grad_()
    pooled = roi_pool(low, rois.to(device), 2, 1.0)
    (grad,) = torch.autograd.grad(pooled.sum(), low)
    assert pooled.dtype == grad.dtype == dtype
    expected = naive_roi_pool(low.detach().cpu().double(), rois, (2, 2), 1.0)
    torch.testing.assert_close(pooled.detach().cpu(), expected.to(dtype))


def test_roi_pool__no_regions(device: str, features: Tensor) -> None:
    moved = features.to(device).requires_grad_()
    pooled = roi_pool(moved, torch.zeros(0, 5, dtype=torch.float64, device=device), 3, 1.0)
    assert pooled.shape == (0, 2, 3, 3)
    (grad,) = torch.autograd.grad(pooled.sum(), moved)
    assert not grad.any()
