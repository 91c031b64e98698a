"""Sigmoid focal loss with the signatures of mmcv's C++ bindings, in plain torch.

Lin et al., "Focal Loss for Dense Object Detection", https://arxiv.org/abs/1708.02002, section 3, equation 5. For the
logit x, p = sigmoid(x) and the class c of a row's target t:

    loss = -alpha (1 - p)^gamma log p             where c = t
    loss = -(1 - alpha) p^gamma log(1 - p)        elsewhere

The logarithms are taken of the logit, so a large one costs what the formula says; mmcv's compiled kernel rounds 1 - p
to 0 above x = 17 or so and charges 87 there.

Axes: N rows, K classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from fgdet.compat.precision import widen


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Loss of each class of each row.

    Args:
        input: (N, K) logits.
        target: (N,) int64 in 0..K; K is the background, which matches no class.
        weight: (K,) factor of each target's row, or empty for 1; with it a target K is an error: it has no weight.
        output: (N, K), written.
        gamma: exponent that plays down easy examples.
        alpha: weight of the positives, in 0..1.
    """
    logits = widen(input)
    probability = logits.sigmoid()
    positive = -alpha * (1 - probability) ** gamma * F.logsigmoid(logits)
    negative = -(1 - alpha) * probability**gamma * F.logsigmoid(-logits)
    loss = torch.where(_is_target(logits, target), positive, negative)
    output.copy_(_weigh_rows(loss, target, weight))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of :func:`sigmoid_focal_loss_forward` by each logit; written to (N, K) ``grad_input``."""
    logits = widen(input)
    probability = logits.sigmoid()
    rest = 1 - probability
    positive = -alpha * rest**gamma * (rest - gamma * probability * F.logsigmoid(logits))
    negative = -(1 - alpha) * probability**gamma * (gamma * rest * F.logsigmoid(-logits) - probability)
    grad = torch.where(_is_target(logits, target), positive, negative)
    grad_input.copy_(_weigh_rows(grad, target, weight))


def _is_target(logits: Tensor, target: Tensor) -> Tensor:
    return torch.arange(logits.shape[1], device=logits.device) == target[:, None]  # (N, K)


def _weigh_rows(values: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return values * widen(weight)[target][:, None] if weight.numel() else values  # (N, K)
