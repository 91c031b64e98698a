"""The global loss of one process; `tests/parity/test_ranks.py` has that of several."""

import math

import pytest
import torch
from torch import Tensor

from fgdet.models.losses.image_text_contrastive import ImageTextContrastiveLoss
from tests.builders import official_json, official_tensors


def naive_loss(images: Tensor, texts: Tensor, scale: Tensor, labels: list[int] | None = None) -> Tensor:
    """One pair at a time; pairs of two images with one text are left out."""
    images, texts = images / images.norm(dim=1, keepdim=True), texts / texts.norm(dim=1, keepdim=True)
    total = torch.zeros((), dtype=images.dtype)
    for i in range(len(images)):
        kept = [j for j in range(len(texts)) if j == i or labels is None or labels[i] != labels[j]]
        for rows, others in ((images, texts), (texts, images)):
            logits = [scale * (rows[i] * others[j]).sum() for j in kept]
            total = total + torch.stack(logits).exp().sum().log() - logits[kept.index(i)]
    return total / (2 * len(images))


def test_loss__hand_worked() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    texts = torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    # Scale 2. Image rows: logits (2, 2) and (0, 0), each log 2. Text rows: (2, 0) both, targets 0 and 1.
    rows = [math.log(2), math.log(2), math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))]
    loss = ImageTextContrastiveLoss()(images, texts, torch.tensor(2.0))
    assert loss.item() == pytest.approx(sum(rows) / 4)


@pytest.mark.parametrize('labels', [None, [0] * 7, [3, 4, 3, 5, 4, 3, 6]])
@pytest.mark.parametrize('size', [1, 2, 7])
def test_loss__equals_nested_loops(size: int, labels: list[int] | None) -> None:
    torch.manual_seed(0)
    images, texts = torch.randn(2, size, 5, dtype=torch.float64)
    scale = torch.tensor(9.0, dtype=torch.float64)
    expected = naive_loss(images, texts, scale, labels)
    text_labels = None if labels is None else torch.tensor(labels[:size])
    for loss in (ImageTextContrastiveLoss(), ImageTextContrastiveLoss(tile_size=3)):
        torch.testing.assert_close(loss(images, texts, scale, text_labels), expected, rtol=1e-12, atol=1e-12)


def test_loss__gradcheck() -> None:
    torch.manual_seed(0)
    images, texts = (torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ImageTextContrastiveLoss(), (images, texts, scale))


def test_loss__weight_is_a_factor() -> None:
    images, texts = torch.randn(2, 3, 4)
    one, half = (ImageTextContrastiveLoss(w)(images, texts, torch.tensor(3.0)) for w in (1.0, 0.5))
    assert half.item() == pytest.approx(one.item() / 2)


@pytest.mark.parametrize('text', ['long', 'short'])
def test_loss__equals_the_official_one(text: str) -> None:
    recorded = official_tensors()
    features = recorded['train.rank0.embeds.image'], recorded[f'train.rank0.embeds.text_{text}']
    loss = ImageTextContrastiveLoss()(*features, torch.tensor(2.6592).exp())
    expected = official_json('losses')['single_process']['runs']['fp32_nocast'][f'loss_itc{text[0]}']
    assert loss.item() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_loss__half_precision_features_get_full_precision_logits(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    images, texts = torch.randn(2, 8, 16).to(dtype)
    scale = torch.tensor(100.0)
    expected = ImageTextContrastiveLoss()(images.double(), texts.double(), scale)
    with torch.autocast('cpu', torch.bfloat16):
        loss = ImageTextContrastiveLoss()(images.requires_grad_(), texts, scale)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert images.grad.dtype == dtype and images.grad.isfinite().all()
