"""The region loss."""

import math

import pytest
import torch
from torch import Tensor

from fgdet.models.losses.region_text_contrastive import RegionTextContrastiveLoss
from tests.builders import official_json, official_tensors


def naive_loss(regions: Tensor, texts: Tensor, scale: Tensor, labels: list[int] | None) -> Tensor:
    """One pair at a time; pairs of two regions with one phrase are left out."""
    regions, texts = regions / regions.norm(dim=1, keepdim=True), texts / texts.norm(dim=1, keepdim=True)
    total = torch.zeros((), dtype=regions.dtype)
    for i in range(len(regions)):
        kept = [j for j in range(len(texts)) if j == i or labels is None or labels[i] != labels[j]]
        for rows, others in ((regions, texts), (texts, regions)):
            logits = torch.stack([scale * (rows[i] * others[j]).sum() for j in kept])
            total = total + logits.exp().sum().log() - logits[kept.index(i)]
    return total / (2 * len(regions))


def test_loss__hand_worked() -> None:
    regions = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    texts = torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    # As for the global loss: rows log 2, log 2, log(1 + e^-2) and log(1 + e^2); weight 0.1.
    rows = [math.log(2), math.log(2), math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))]
    assert RegionTextContrastiveLoss()(regions, texts, torch.tensor(2.0)).item() == pytest.approx(0.1 * sum(rows) / 4)


def test_loss__equal_phrases_are_no_negatives_of_each_other() -> None:
    regions = torch.eye(3)
    texts = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    labels = torch.tensor([4, 4, 7])
    # Logits at scale 2: (2, 2, 0), (0, 0, 2), (0, 0, 0); the entries (0, 1) and (1, 0) fall away.
    e2 = math.exp(2)
    rows = [math.log(1 + 1 / e2), math.log(1 + e2), math.log(3)]
    columns = [math.log(1 + 1 / e2), math.log(2), math.log(2 + e2)]
    loss = RegionTextContrastiveLoss(loss_weight=1.0)(regions, texts, torch.tensor(2.0), labels)
    assert loss.item() == pytest.approx(sum(rows + columns) / 6)


def test_loss__one_phrase_for_all_regions_is_zero_with_a_finite_gradient() -> None:
    regions = torch.randn(3, 4, requires_grad=True)
    labels = torch.zeros(3, dtype=torch.int64)
    loss = RegionTextContrastiveLoss()(regions, torch.randn(1, 4).expand(3, 4), torch.tensor(2.0), labels)
    loss.backward()
    assert loss.item() == 0 and not regions.grad.any()


@pytest.mark.parametrize('labels', [None, [0, 1, 2, 3, 4, 5], [0, 1, 0, 2, 1, 0]])
def test_loss__equals_nested_loops(labels: list[int] | None) -> None:
    torch.manual_seed(0)
    regions, texts = torch.randn(2, 6, 5, dtype=torch.float64)
    scale = torch.tensor(9.0, dtype=torch.float64)
    loss = RegionTextContrastiveLoss(1.0)(regions, texts, scale, None if labels is None else torch.tensor(labels))
    torch.testing.assert_close(loss, naive_loss(regions, texts, scale, labels), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('labels', [None, torch.tensor([0, 1, 0, 2])])
def test_loss__gradcheck(labels: Tensor | None) -> None:
    torch.manual_seed(0)
    regions, texts = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    loss = RegionTextContrastiveLoss()
    assert torch.autograd.gradcheck(lambda *inputs: loss(*inputs, labels), (regions, texts, scale))


def test_loss__no_region_is_zero_and_keeps_its_graph() -> None:
    regions, texts = (torch.zeros(0, 4, requires_grad=True) for _ in range(2))
    scale = torch.tensor(2.0, requires_grad=True)
    loss = RegionTextContrastiveLoss()(regions, texts, scale, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0 and scale.grad.item() == 0 and regions.grad.shape == (0, 4)


def test_loss__one_region_is_zero() -> None:
    loss = RegionTextContrastiveLoss()(torch.randn(1, 4), torch.randn(1, 4), torch.tensor(2.0), torch.tensor([3]))
    assert loss.item() == 0


def test_loss__equals_the_official_one() -> None:
    recorded = official_tensors()
    features = recorded['train.rank0.embeds.region_image'], recorded['train.rank0.embeds.region_text']
    loss = RegionTextContrastiveLoss(1.0)(*features, torch.tensor(2.25).exp())
    expected = official_json('losses')['single_process']['runs']['fp32_nocast']['loss_region']
    assert loss.item() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_loss__half_precision_features_get_full_precision_logits(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    regions, texts = torch.randn(2, 8, 16).to(dtype)
    scale = torch.tensor(100.0)
    expected = RegionTextContrastiveLoss()(regions.double(), texts.double(), scale)
    with torch.autocast('cpu', torch.bfloat16):
        loss = RegionTextContrastiveLoss()(regions.requires_grad_(), texts, scale, torch.arange(8))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert regions.grad.dtype == dtype and regions.grad.isfinite().all()
