"""Where counts come from, and the two weighted cross-entropies by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fgdet.models.losses.frequency_weighted import FrequencyWeightedLoss
from fgdet.models.losses.region_class_loss import class_counts
from fgdet.utils.checks import UserError

COUNTS = dict(cat=100, dog=25, owl=4)


def test_class_counts__by_name_file_and_data_set(tmp_path: Path) -> None:
    path = tmp_path / 'counts.json'
    path.write_text(json.dumps(COUNTS))
    assert class_counts(str(path), ['owl', 'cat']).tolist() == [4, 100]
    assert class_counts(COUNTS).tolist() == [100, 25, 4]
    assert len(class_counts('lvis_v1')) == 1203
    base = class_counts('lvis_v1_base')
    assert len(base) == 866 and base.min() > 10


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        (COUNTS, "1 of the 3 names have none: 'ant'"),
        (dict(COUNTS, ant=0), "counts of 'ant': expected a number above 0, got 0"),
        ([3, 4], r'expected a dict of name to training images, got \[3, 4\]'),
        ('lvis', r'class counts \(lvis_v1, lvis_v1_base or a file\) lvis: no such file'),
    ],
)
def test_class_counts__refuses(counts: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        class_counts(counts, ['cat', 'ant', 'dog'])


def test_weighted_softmax__by_hand() -> None:
    # 1 / sqrt(n) is 0.1, 0.2 and 0.5, with the mean 0.8 / 3.
    loss = FrequencyWeightedLoss(COUNTS)
    torch.testing.assert_close(loss.weights, torch.tensor([0.3, 0.6, 1.5]) / 0.8)
    logits = torch.zeros(3, 4)
    value = loss(logits, torch.tensor([0, 2, 3]), weight=torch.tensor([1.0, 1.0, 0.5]), avg_factor=2.0)
    assert value.item() == pytest.approx((0.375 + 1.875 + 0.5) * math.log(4) / 2)


def test_weighted_sigmoid__by_hand() -> None:
    loss = FrequencyWeightedLoss(COUNTS, use_sigmoid=True)
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    expected = (
        0.375 * math.log1p(math.exp(2)) + 0.75 * math.log1p(math.exp(0)) + 1.875 * math.log1p(math.exp(1))
    )  # the label is the last
    with torch.autocast('cpu', torch.bfloat16):
        assert loss(logits, torch.tensor([2])).item() == pytest.approx(expected)


def test_weighted__equal_counts_are_the_plain_losses() -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 3, 0])
    plain = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(FrequencyWeightedLoss(dict(a=7, b=7, c=7))(logits, labels), plain)
    torch.testing.assert_close(FrequencyWeightedLoss(COUNTS, power=0)(logits, labels), plain)
