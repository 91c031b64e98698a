"""Negative prompts take a region from a name that fits it less."""

import torch

from fgdet.models.post_processing.negative_prompts import without_negatives


def test_without_negatives__zeroes_what_a_negative_beats() -> None:
    scores = torch.tensor([[0.5, 0.2, 0.3, 0.1], [0.1, 0.4, 0.2, 0.4], [0.0, 0.1, 0.2, 0.9]])
    expected = torch.tensor([[0.5, 0.0], [0.0, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(without_negatives(scores, 2), expected)


def test_without_negatives__none_given() -> None:
    scores = torch.rand(2, 3, 4)
    assert without_negatives(scores, 0) is scores
    assert without_negatives(scores[:0], 1).shape == (0, 3, 3)
