"""mmcv.ops.sigmoid_focal_loss against the paper's formula, entry by entry."""

import math

import pytest
import torch
from mmcv.ops import SigmoidFocalLoss, sigmoid_focal_loss, softmax_focal_loss
from torch import Tensor


def naive_loss(logits: Tensor, targets: Tensor, gamma: float, alpha: float, weight: Tensor | None) -> Tensor:
    loss = torch.zeros_like(logits)
    for n, target in enumerate(targets.tolist()):
        for k in range(logits.shape[1]):
            p = 1 / (1 + torch.exp(-logits[n, k]))
            if k == target:
                loss[n, k] = -alpha * (1 - p) ** gamma * torch.log(p)
            else:
                loss[n, k] = -(1 - alpha) * p**gamma * torch.log(1 - p)
            if weight is not None:
                loss[n, k] = loss[n, k] * weight[target]
    return loss


@pytest.mark.parametrize('weight', [None, [0.5, 2.0, 1.0]])
@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (1.5, 0.6), (0.0, 0.5)])
def test_loss__value_and_gradient(
    device: str, generator: torch.Generator, gamma: float, alpha: float, reduction: str, weight: list[float] | None
) -> None:
    logits = (torch.randn(6, 3, dtype=torch.float64, generator=generator) * 3).requires_grad_()
    targets = torch.tensor([0, 2, 1, 2, 0, 3 if weight is None else 1])  # 3 is the background
    weights = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    entries = naive_loss(logits, targets, gamma, alpha, weights)
    expected = {'none': entries.sum(1), 'sum': entries.sum(), 'mean': entries.sum() / 6}[reduction]
    moved = logits.detach().to(device).requires_grad_()
    layer = SigmoidFocalLoss(gamma, alpha, weights, reduction).to(device)
    actual = layer(moved, targets.to(device))
    actual = actual.sum(1) if reduction == 'none' else actual
    torch.testing.assert_close(actual.cpu(), expected)
    (expected_grad,) = torch.autograd.grad(expected.sum(), logits)
    (grad,) = torch.autograd.grad(actual.sum(), moved)
    torch.testing.assert_close(grad.cpu(), expected_grad)


def test_loss__hand_worked() -> None:
    # p = 1/2: positive 0.25 * 1/4 * ln 2, negative 0.75 * 1/4 * ln 2
    loss = sigmoid_focal_loss(torch.zeros(1, 2), torch.tensor([1]), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(loss, torch.tensor([[0.1875, 0.0625]]) * math.log(2))


def test_loss__large_logits_stay_finite() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([1]), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(loss, torch.tensor([[150.0, 50.0]]))  # 0.75 * 200 and 0.25 * 200
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(grad, torch.tensor([[0.75, -0.25]]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_loss__half_precision(device: str, generator: torch.Generator, dtype: torch.dtype) -> None:
    logits = torch.randn(6, 3, generator=generator).to(device, dtype).requires_grad_()
    targets = torch.tensor([0, 2, 1, 3, 0, 1])
    loss = sigmoid_focal_loss(logits, targets.to(device), 2.0, 0.25, None, 'none')
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    assert loss.dtype == grad.dtype == dtype
    expected = naive_loss(logits.detach().cpu().double(), targets, 2.0, 0.25, None)
    torch.testing.assert_close(loss.detach().cpu(), expected.to(dtype))


def test_loss__no_rows(device: str) -> None:
    logits = torch.zeros(0, 3, device=device, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.zeros(0, dtype=torch.int64, device=device), 2.0, 0.25, None, 'sum')
    (grad,) = torch.autograd.grad(loss, logits)
    assert loss == 0
    assert grad.shape == (0, 3)


def test_softmax_focal_loss__is_not_covered() -> None:
    with pytest.raises(NotImplementedError, match=r'softmax_focal_loss_forward.*onedl-mmcv==2\.3\.6'):
        softmax_focal_loss(torch.zeros(1, 2), torch.tensor([1]))
