"""mmcv.ops.DeformConv2d and ModulatedDeformConv2d against a loop over output cells and kernel points."""

import math

import pytest
import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d, ModulatedDeformConv2dPack, deform_conv2d
from mmcv.ops.modulated_deform_conv import modulated_deform_conv2d
from torch import Tensor
from torch.nn import functional as F

# Stride, padding, dilation (h, w), groups, deformable groups.
GEOMETRIES = [((1, 1), (1, 1), (1, 1), 1, 1), ((2, 1), (0, 2), (1, 2), 2, 1), ((1, 2), (1, 1), (1, 1), 1, 2)]
KERNEL_HW = (3, 2)


def sample(plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear value at (y, x) of a plane surrounded by zeros, differentiable in all three."""
    height, width = plane.shape
    top, left = math.floor(y.item()), math.floor(x.item())
    total = plane.new_zeros(())
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < height and 0 <= column < width:
                total = total + (1 - (y - row).abs()) * (1 - (x - column).abs()) * plane[row, column]
    return total


def naive_deform_conv(
    input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor | None, geometry: tuple
) -> Tensor:
    stride, padding, dilation, groups, offset_groups = geometry
    images, channels = input.shape[:2]
    outputs, group_channels, kernel_height, kernel_width = weight.shape
    points = kernel_height * kernel_width
    rows, columns = offset.shape[2:]
    cells = []
    for image in range(images):
        for o in range(outputs):
            for row in range(rows):
                for column in range(columns):
                    total = input.new_zeros(()) if bias is None else bias[o]
                    for c in range(group_channels):
                        channel = o // (outputs // groups) * group_channels + c
                        first = channel // (channels // offset_groups) * points
                        for k in range(points):
                            i, j = divmod(k, kernel_width)
                            shift = offset[image, 2 * (first + k) : 2 * (first + k) + 2, row, column]
                            y = row * stride[0] - padding[0] + i * dilation[0] + shift[0]
                            x = column * stride[1] - padding[1] + j * dilation[1] + shift[1]
                            value = weight[o, c, i, j] * sample(input[image, channel], y, x)
                            total = total + (value if mask is None else value * mask[image, first + k, row, column])
                    cells.append(total)
    return torch.stack(cells).view(images, outputs, rows, columns)


def operands(generator: torch.Generator, geometry: tuple, modulated: bool) -> list[Tensor]:
    """Input, offset, mask, weight and bias in float64; no mask and bias for v1."""
    stride, padding, dilation, groups, offset_groups = geometry
    rows, columns = (
        (size + 2 * padding[d] - dilation[d] * (KERNEL_HW[d] - 1) - 1) // stride[d] + 1 for d, size in enumerate((5, 6))
    )
    points = offset_groups * math.prod(KERNEL_HW)
    shapes: list[tuple[int, ...]] = [(2, 4, 5, 6), (2, 2 * points, rows, columns)]
    shapes += [(2, points, rows, columns)] if modulated else []
    shapes += [(2, 4 // groups, *KERNEL_HW)]
    shapes += [(2,)] if modulated else []
    return [torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]


def assert_same_with_gradients(
    actual: Tensor, sources: list[Tensor], expected: Tensor, references: list[Tensor]
) -> None:
    torch.testing.assert_close(actual.cpu(), expected)
    upstream = torch.linspace(-1, 1, expected.numel(), dtype=expected.dtype).view_as(expected)
    grads = torch.autograd.grad(actual, sources, upstream.to(actual))
    for grad, expected_grad in zip(grads, torch.autograd.grad(expected, references, upstream), strict=True):
        torch.testing.assert_close(grad.cpu(), expected_grad)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_deform_conv__value_and_gradients(device: str, generator: torch.Generator, geometry: tuple) -> None:
    references = operands(generator, geometry, modulated=False)
    input, offset, weight = references
    moved = [tensor.detach().to(device).requires_grad_() for tensor in references]
    actual = deform_conv2d(*moved, *geometry)
    assert_same_with_gradients(
        actual, moved, naive_deform_conv(input, offset, None, weight, None, geometry), references
    )


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_modulated_deform_conv__value_and_gradients(device: str, generator: torch.Generator, geometry: tuple) -> None:
    references = operands(generator, geometry, modulated=True)
    input, offset, mask, weight, bias = references
    moved = [tensor.detach().to(device).requires_grad_() for tensor in references]
    actual = modulated_deform_conv2d(*moved, *geometry)
    assert_same_with_gradients(
        actual, moved, naive_deform_conv(input, offset, mask, weight, bias, geometry), references
    )


def test_modulated_deform_conv__without_bias(generator: torch.Generator) -> None:
    input, offset, mask, weight, _ = operands(generator, GEOMETRIES[0], modulated=True)
    sources = [input, offset, mask, weight]
    actual = modulated_deform_conv2d(*sources, None, *GEOMETRIES[0])
    expected = naive_deform_conv(input, offset, mask, weight, None, GEOMETRIES[0])
    assert_same_with_gradients(actual, sources, expected, sources)


@pytest.mark.parametrize('frozen', ['input and offset', 'weight'])
def test_deform_conv__only_some_need_gradients(generator: torch.Generator, frozen: str) -> None:
    sources = operands(generator, GEOMETRIES[0], modulated=False)
    full = torch.autograd.grad(deform_conv2d(*sources, *GEOMETRIES[0]).sum(), sources)
    wanted = [2] if frozen == 'input and offset' else [0, 1]
    for index, source in enumerate(sources):
        source.requires_grad_(index in wanted)
    grads = torch.autograd.grad(deform_conv2d(*sources, *GEOMETRIES[0]).sum(), [sources[index] for index in wanted])
    for index, grad in zip(wanted, grads, strict=True):
        torch.testing.assert_close(grad, full[index])


def test_layers__no_offset_is_a_convolution(device: str, generator: torch.Generator) -> None:
    features = torch.randn(2, 4, 8, 8, generator=generator).to(device)
    plain = DeformConv2d(4, 6, 3, padding=1).to(device)
    offset = torch.zeros(2, 18, 8, 8, device=device)
    torch.testing.assert_close(
        plain(features, offset), F.conv2d(features, plain.weight, padding=1), atol=1e-5, rtol=1e-5
    )
    modulated = ModulatedDeformConv2d(4, 6, 3, padding=1).to(device)
    mask = torch.full((2, 9, 8, 8), 0.5, device=device)
    expected = F.conv2d(features, 0.5 * modulated.weight, modulated.bias, padding=1)
    torch.testing.assert_close(modulated(features, offset, mask), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_pack__half_precision(device: str, generator: torch.Generator, dtype: torch.dtype) -> None:
    layer = ModulatedDeformConv2dPack(4, 6, 3, padding=1).to(device, dtype)
    features = torch.randn(2, 4, 8, 8, generator=generator).to(device, dtype)
    actual = layer(features)
    (grad,) = torch.autograd.grad(actual.sum(), [layer.conv_offset.weight])
    assert actual.dtype == dtype
    assert grad.abs().sum() > 0
    expected = F.conv2d(
        features.float(), 0.5 * layer.weight.float(), layer.bias.float(), padding=1
    )  # offset 0, mask 0.5
    torch.testing.assert_close(actual, expected.to(dtype), atol=1e-2, rtol=1e-2)


def test_deform_conv__input_smaller_than_kernel_raises() -> None:
    with pytest.raises(ValueError, match='too small'):
        deform_conv2d(torch.zeros(1, 1, 2, 2), torch.zeros(1, 18, 1, 1), torch.zeros(1, 1, 3, 3))
