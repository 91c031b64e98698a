"""The hard-negative loss."""

import math

import pytest
import torch
from torch import Tensor

from fgdet.models.losses.hard_negative import HardNegativeLoss
from tests.builders import official_json, official_tensors


def naive_loss(regions: Tensor, texts: Tensor, sizes: list[int], scale: Tensor) -> Tensor:
    """One region and its group at a time."""
    total, first = torch.zeros((), dtype=regions.dtype), 0
    for region, size in zip(regions, sizes, strict=True):
        group = texts[first : first + size]
        logits = torch.stack([scale * (region @ text) / (region.norm() * text.norm()) for text in group])
        total = total + logits.exp().sum().log() - logits[0]
        first += size
    return total / len(regions)


def test_loss__hand_worked_with_groups_of_two_sizes() -> None:
    regions = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    texts = torch.tensor([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # Scale 2. Group one: logits 2, 0, -2; group two: 0 and 2. Weight 0.5 on the mean of the two.
    losses = [math.log(1 + math.exp(-2) + math.exp(-4)), math.log(1 + math.exp(2))]
    loss = HardNegativeLoss()(regions, texts, torch.tensor([3, 2]), torch.tensor(2.0))
    assert loss.item() == pytest.approx(0.5 * sum(losses) / 2)


@pytest.mark.parametrize('sizes', [[11, 11, 11], [1], [1, 4, 2], [2, 11, 5, 3, 9]])
def test_loss__equals_nested_loops(sizes: list[int]) -> None:
    torch.manual_seed(0)
    regions = torch.randn(len(sizes), 5, dtype=torch.float64)
    texts = torch.randn(sum(sizes), 5, dtype=torch.float64)
    scale = torch.tensor(9.0, dtype=torch.float64)
    loss = HardNegativeLoss(1.0)(regions, texts, torch.tensor(sizes), scale)
    torch.testing.assert_close(loss, naive_loss(regions, texts, sizes, scale), rtol=1e-12, atol=1e-12)


def test_loss__gradcheck() -> None:
    torch.manual_seed(0)
    regions = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    texts = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    loss, sizes = HardNegativeLoss(), torch.tensor([4, 1, 2])
    assert torch.autograd.gradcheck(lambda r, t, s: loss(r, t, sizes, s), (regions, texts, scale))


def test_loss__no_region_is_zero_and_keeps_its_graph() -> None:
    regions, texts = (torch.zeros(0, 4, requires_grad=True) for _ in range(2))
    scale = torch.tensor(2.0, requires_grad=True)
    loss = HardNegativeLoss()(regions, texts, torch.zeros(0, dtype=torch.int64), scale)
    loss.backward()
    assert loss.item() == 0 and scale.grad.item() == 0 and texts.grad.shape == (0, 4)


def test_loss__a_region_with_few_negatives_weighs_as_much() -> None:
    torch.manual_seed(0)
    regions, texts, scale = torch.randn(2, 4), torch.randn(13, 4), torch.tensor(3.0)
    loss = HardNegativeLoss(1.0)
    alone = [
        loss(regions[:1], texts[:11], torch.tensor([11]), scale),
        loss(regions[1:], texts[11:], torch.tensor([2]), scale),
    ]
    together = loss(regions, texts, torch.tensor([11, 2]), scale)
    assert together.item() == pytest.approx(sum(alone).item() / 2, rel=1e-6)


@pytest.mark.parametrize('sizes', [[2, 2], [5, 0], [6, -1]])
def test_loss__sizes_that_do_not_fit(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match='sum to the 5 texts'):
        HardNegativeLoss()(torch.randn(2, 4), torch.randn(5, 4), torch.tensor(sizes), torch.tensor(1.0))


def test_loss__equals_the_official_one() -> None:
    recorded = official_tensors()
    features = recorded['train.rank0.embeds.hard_image'], recorded['train.rank0.embeds.hard_text']
    loss = HardNegativeLoss(1.0)(*features, torch.full((4,), 11), torch.tensor(3.1).exp())
    expected = official_json('losses')['single_process']['runs']['fp32_nocast']['loss_hard']
    assert loss.item() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_loss__half_precision_features_get_full_precision_logits(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    regions, texts, sizes = torch.randn(2, 16).to(dtype), torch.randn(7, 16).to(dtype), torch.tensor([4, 3])
    scale = torch.tensor(100.0)
    expected = HardNegativeLoss()(regions.double(), texts.double(), sizes, scale)
    with torch.autocast('cpu', torch.bfloat16):
        loss = HardNegativeLoss()(regions.requires_grad_(), texts, sizes, scale)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert regions.grad.dtype == dtype and regions.grad.isfinite().all()
