"""Multi-scale deformable attention on a GPU with the signatures of mmcv's C++ bindings, by mmcv's own torch form.

Zhu et al., "Deformable DETR", https://arxiv.org/abs/2010.04159, section 4.1, equation 3. On a CPU mmcv calls its torch
form by itself; here the same form serves the calls that mmcv makes to a compiled kernel; the backward recomputes it.

Axes: B images, S cells of all levels, M heads, D channels a head, Q queries, L levels, P points a level.
"""

import torch
from torch import Tensor

from fgdet.compat.precision import widen


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted sum of bilinear samples of all levels.

    Args:
        value: (B, S, M, D).
        value_spatial_shapes: (L, 2) int64, height and width of each level.
        value_level_start_index: (L,) first cell of each level; follows from the shapes, not used.
        sampling_locations: (B, Q, M, L, P, 2) as (x, y) in 0..1 of the level.
        attention_weights: (B, Q, M, L, P).
        im2col_step: images a launch of the compiled kernel, not used.

    Returns:
        (B, Q, M * D) in the type of ``value``.
    """
    with torch.autocast(value.device.type, enabled=False):
        output = _attend(widen(value), value_spatial_shapes, widen(sampling_locations), widen(attention_weights))
    return output.to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of :func:`ms_deform_attn_forward` to ``value``, the locations and the weights."""
    sources = [widen(tensor).detach().requires_grad_() for tensor in (value, sampling_locations, attention_weights)]
    with torch.enable_grad(), torch.autocast(value.device.type, enabled=False):
        output = _attend(sources[0], value_spatial_shapes, sources[1], sources[2])
    grads = torch.autograd.grad(output, sources, grad_output.to(output.dtype))
    for target, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads, strict=True):
        target.copy_(grad)


def _attend(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    # mmcv.ops imports the extension that this file serves, so it can be imported only when an operator is called.
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(value, shapes.tolist(), locations, weights)  # one wait for the GPU
