"""Deformable convolution v1 and v2 with the signatures of mmcv's C++ bindings, on torchvision's kernels.

v1: Dai et al., https://arxiv.org/abs/1703.06211, section 2.1.
v2: Zhu et al., https://arxiv.org/abs/1811.11168, section 3.2.
The layout of the offsets is the same in mmcv and torchvision: (y, x) for each point of the kernel, row by row. The
buffers ``columns`` and ``ones`` of mmcv's own kernels are not used.

Axes: B images, C and O input and output channels, H W grid, P Q output grid, G deformable groups, K kernel points.
"""

import torch
import torchvision  # noqa: F401  its kernels are in torch.ops from here on
from torch import Tensor

from fgdet.compat.precision import widen


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Convolve at shifted points: input (B, C, H, W), offset (B, G * K * 2, P, Q), output (B, O, P, Q), written."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_convolve(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the gradients to the input and the offsets of :func:`deform_conv_forward`."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    grads = _backward(grad_output, input, weight, offset, None, None, geometry)
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the gradient to the weight of :func:`deform_conv_forward` to ``grad_weight``."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    # The gradient to the weight does not depend on the weight: any tensor of its shape does.
    grads = _backward(grad_output, input, torch.zeros_like(grad_weight), offset, None, None, geometry)
    grad_weight.add_(grads[1].to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Convolve at shifted points, each weighed by ``mask`` (B, G * K, P, Q); written to ``output`` (B, O, P, Q)."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    output.copy_(_convolve(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the gradients of :func:`modulated_deform_conv_forward` into the five ``grad_`` tensors of its arguments."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    grads = _backward(grad_output, input, weight, offset, mask, bias if with_bias else None, geometry)
    targets = [grad_input, grad_weight, grad_offset, grad_mask] + ([grad_bias] if with_bias else [])
    for target, grad in zip(targets, grads, strict=False):
        target.copy_(grad)


def _convolve(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, geometry: tuple[int, ...]
) -> Tensor:
    """``geometry``: stride, padding and dilation as (h, w) each, groups, deformable groups."""
    operands = _operands(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*operands, *geometry, mask is not None)


def _backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: tuple[int, ...],
) -> tuple[Tensor, ...]:
    """Gradients to input, weight, offset, mask and bias."""
    operands = _operands(input, weight, offset, mask, bias)
    grad = grad_output.to(operands[0].dtype).contiguous()
    return torch.ops.torchvision._deform_conv2d_backward(grad, *operands, *geometry, mask is not None)


def _operands(input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None) -> list[Tensor]:
    """The five tensors in the order and the one type that torchvision wants; it reads no mask where there is none."""
    input = widen(input)
    mask = input.new_zeros(input.shape[0], 0) if mask is None else mask
    bias = input.new_zeros(weight.shape[0]) if bias is None else bias
    return [tensor.to(input.dtype).contiguous() for tensor in (input, weight, offset, mask, bias)]
