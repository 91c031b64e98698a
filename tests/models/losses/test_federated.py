"""The federated loss against a loop, and which classes it draws."""

import math

import pytest
import torch

from fgdet.models.losses.federated import FederatedLoss

COUNTS = dict(cat=100, dog=25, owl=4, ant=1)
LABELS = torch.tensor([0, 4, 0, 4])  # 4 is the background


def bce(logit: float, target: bool) -> float:
    return math.log1p(math.exp(-logit if target else logit))


def test_forward__a_loop_over_the_chosen_classes() -> None:
    loss, logits = FederatedLoss(COUNTS, num_sampled=2, loss_weight=2.0), torch.randn(4, 4)
    torch.manual_seed(0)
    chosen = loss.choose_classes(LABELS).tolist()
    assert len(chosen) == 2 and chosen[0] == 0
    torch.manual_seed(0)
    value = loss(logits, LABELS, weight=torch.tensor([1.0, 1.0, 0.5, 0.0]), avg_factor=3.0)
    rows = [sum(bce(float(row[k]), int(label) == k) for k in chosen) for row, label in zip(logits, LABELS, strict=True)]
    assert value.item() == pytest.approx(2 * (rows[0] + rows[1] + 0.5 * rows[2]) / 3, rel=1e-5)


def test_choose_classes__by_the_root_of_the_counts() -> None:
    torch.manual_seed(0)
    loss = FederatedLoss(COUNTS, num_sampled=2)
    drawn = torch.stack([loss.choose_classes(torch.tensor([1, 4]))[1] for _ in range(4000)]).bincount(minlength=4)
    # dog is in the batch; the roots of the others are 10, 2 and 1.
    torch.testing.assert_close(drawn / 4000, torch.tensor([10, 0, 2, 1]) / 13, atol=0.025, rtol=0)


def test_choose_classes__more_in_the_batch_or_wished_than_there_are() -> None:
    assert FederatedLoss(COUNTS, num_sampled=2).choose_classes(torch.tensor([2, 0, 1, 2])).tolist() == [0, 1, 2]
    assert sorted(FederatedLoss(COUNTS).choose_classes(torch.tensor([4])).tolist()) == [0, 1, 2, 3]


def test_gradient__only_of_the_chosen_classes() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    loss = FederatedLoss(COUNTS, num_sampled=1)  # the batch has one class, so none is drawn
    assert torch.autograd.gradcheck(lambda x: loss(x, LABELS), (logits,))
    loss(logits, LABELS).backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(0) > 0).tolist() == [True, False, False, False]


def test_forward__no_regions_and_each_region() -> None:
    loss, logits = FederatedLoss(COUNTS), torch.randn(4, 4)
    assert loss(logits[:0], LABELS[:0]).item() == 0
    rows = loss(logits, LABELS, reduction_override='none')
    torch.testing.assert_close(rows.sum(), loss(logits, LABELS, reduction_override='sum'))
    torch.testing.assert_close(rows.mean(), loss(logits, LABELS))
    assert FederatedLoss(dict(cat=3))(logits[:, :1], torch.tensor([0, 1, 1, 0])) > 0


def test_forward__refuses_other_columns() -> None:
    with pytest.raises(ValueError, match='counts of 4 classes go with 4 columns of logits, got 5; names must be those'):
        FederatedLoss(COUNTS)(torch.randn(2, 5), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="expected none, mean, sum or None, got 'max'"):
        FederatedLoss(COUNTS)(torch.randn(2, 4), torch.tensor([0, 1]), reduction_override='max')
