"""mmcv's multi-scale deformable attention, as served to its compiled entry points, against a loop over points."""

import math

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttention,
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch import Tensor

SHAPES = [(4, 5), (2, 3)]  # height and width of each level
STARTS = [0, 20]


def sample(cells: Tensor, shape: tuple[int, int], x: Tensor, y: Tensor) -> Tensor:
    """Bilinear (D,) value of (h * w, D) cells at (x, y) in 0..1, zero outside; cell centres at half-integers."""
    height, width = shape
    row, column = y * height - 0.5, x * width - 0.5
    total = cells.new_zeros(cells.shape[1])
    top, left = math.floor(row.item()), math.floor(column.item())
    for i in (top, top + 1):
        for j in (left, left + 1):
            if 0 <= i < height and 0 <= j < width:
                total = total + (1 - (row - i).abs()) * (1 - (column - j).abs()) * cells[i * width + j]
    return total


def naive_attention(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    images, queries, heads, _, points, _ = locations.shape
    rows = []
    for b in range(images):
        for q in range(queries):
            for m in range(heads):
                total = value.new_zeros(value.shape[3])
                for level, (shape, start) in enumerate(zip(SHAPES, STARTS, strict=True)):
                    cells = value[b, start : start + math.prod(shape), m]
                    for p in range(points):
                        x, y = locations[b, q, m, level, p]
                        total = total + weights[b, q, m, level, p] * sample(cells, shape, x, y)
                rows.append(total)
    return torch.stack(rows).view(images, queries, -1)


@pytest.fixture
def operands(generator: torch.Generator) -> list[Tensor]:
    """Value (B, S, M, D), locations (B, Q, M, L, P, 2), some outside the image, and weights (B, Q, M, L, P)."""
    value = torch.randn(2, 26, 2, 3, dtype=torch.float64, generator=generator)
    locations = torch.rand(2, 4, 2, 2, 3, 2, dtype=torch.float64, generator=generator) * 1.4 - 0.2
    weights = torch.rand(2, 4, 2, 2, 3, dtype=torch.float64, generator=generator)
    return [value.requires_grad_(), locations.requires_grad_(), weights.requires_grad_()]


def serve(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    shapes, starts = torch.tensor(SHAPES, device=value.device), torch.tensor(STARTS, device=value.device)
    return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)


def test_attention__value_and_gradients(device: str, operands: list[Tensor]) -> None:
    moved = [tensor.detach().to(device).requires_grad_() for tensor in operands]
    expected, actual = naive_attention(*operands), serve(*moved)
    torch.testing.assert_close(actual.cpu(), expected)
    upstream = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).view_as(expected)
    grads = torch.autograd.grad(actual, moved, upstream.to(device))
    for grad, expected_grad in zip(grads, torch.autograd.grad(expected, operands, upstream), strict=True):
        torch.testing.assert_close(grad.cpu(), expected_grad)


def test_torch_form__value(operands: list[Tensor]) -> None:
    value, locations, weights = operands
    actual = multi_scale_deformable_attn_pytorch(value, torch.tensor(SHAPES), locations, weights)
    torch.testing.assert_close(actual, naive_attention(*operands))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_attention__half_precision(device: str, operands: list[Tensor], dtype: torch.dtype) -> None:
    low = [tensor.detach().to(device, dtype).requires_grad_() for tensor in operands]
    actual = serve(*low)
    grads = torch.autograd.grad(actual.sum(), low)
    assert actual.dtype == dtype
    assert all(grad.dtype == dtype and grad.abs().sum() > 0 for grad in grads)
    expected = naive_attention(*[tensor.detach().cpu().double() for tensor in low])
    torch.testing.assert_close(actual.detach().cpu(), expected.to(dtype))


def test_attention__no_queries(device: str, operands: list[Tensor]) -> None:
    value, locations, weights = (tensor.detach().to(device) for tensor in operands)
    assert serve(value, locations[:, :0], weights[:, :0]).shape == (2, 0, 6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_layer__same_on_gpu_as_on_cpu(generator: torch.Generator) -> None:
    layer = MultiScaleDeformableAttention(embed_dims=16, num_heads=2, num_levels=2, batch_first=True).eval()
    query, value = torch.randn(1, 4, 16, generator=generator), torch.randn(1, 26, 16, generator=generator)
    inputs = {
        'query': query,
        'value': value,
        'reference_points': torch.rand(1, 4, 2, 2, generator=generator),
        'spatial_shapes': torch.tensor(SHAPES),
        'level_start_index': torch.tensor(STARTS),
    }
    expected = layer(**inputs)
    actual = layer.cuda()(**{name: tensor.cuda() for name, tensor in inputs.items()})
    torch.testing.assert_close(actual.cpu(), expected, atol=1e-4, rtol=1e-4)
