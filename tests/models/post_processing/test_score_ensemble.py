"""Hand-worked scores."""

import torch

from fgdet.models.post_processing.score_ensemble import ensemble_scores, region_probabilities


def test_region_probabilities__hand_worked() -> None:
    # (3, 4) / 5 has cosines 0.6 and 0.8; over a temperature of 0.2 they differ by 1.
    probabilities = region_probabilities(torch.tensor([[3.0, 4.0]]), torch.eye(2), temperature=0.2)
    expected = torch.tensor([[1 / (1 + torch.e), torch.e / (1 + torch.e)]])
    torch.testing.assert_close(probabilities, expected)


def test_region_probabilities__a_region_of_zeros_and_no_region() -> None:
    torch.testing.assert_close(region_probabilities(torch.zeros(1, 2), torch.eye(2), 0.01), torch.full((1, 2), 0.5))
    assert region_probabilities(torch.zeros(0, 2), torch.eye(2), 0.01).shape == (0, 2)


def test_ensemble__hand_worked() -> None:
    detector, region = torch.tensor([[0.25, 0.16]]), torch.tensor([[0.64, 0.0001]])
    scores = ensemble_scores(detector, region, torch.tensor([True, False]), alpha=0.5, beta=0.25)
    # sqrt(0.25 * 0.64) = 0.4;  0.16^0.75 * 0.0001^0.25 = 0.253 * 0.1
    torch.testing.assert_close(scores, torch.tensor([[0.4, 0.16**0.75 * 0.1]]))


def test_ensemble__the_ends_are_one_of_the_two() -> None:
    detector, region = torch.tensor([[0.0, 0.3]]), torch.tensor([[0.7, 0.0]])
    scores = ensemble_scores(detector, region, torch.tensor([True, False]), alpha=1.0, beta=0.0)
    assert torch.equal(scores, torch.tensor([[0.7, 0.3]]))  # also where the other one is 0


def test_ensemble__no_regions() -> None:
    assert ensemble_scores(torch.zeros(0, 2), torch.zeros(0, 2), torch.tensor([True, False]), 0.2, 0.4).shape == (0, 2)
