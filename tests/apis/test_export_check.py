"""Twins among the detections of two programs, by hand."""

import numpy as np
import pytest

from fgdet.apis.export_check import match

BOXES = np.array([[0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 20.0, 20.0], [0.0, 0.0, 0.0, 0.0]])
SCORES = np.array([0.9, 0.8, -1.0])
LABELS = np.array([1, 0, 0])


def test_match__equal_scores_change_places() -> None:
    scores, labels = np.array([0.9, 0.9, -1.0]), np.array([1, 1, 0])
    swapped = BOXES[[1, 0, 2]] + 0.25
    assert match((swapped, scores + 2e-4, labels), (BOXES, scores, labels))[:3] == (2, 0, 0.25)


@pytest.mark.parametrize(
    ('boxes', 'scores', 'labels'),
    [
        (BOXES + np.array([[0.6], [0], [0]]), SCORES, LABELS),
        (BOXES, SCORES - np.array([2e-3, 0, 0]), LABELS),
        (BOXES, SCORES, np.array([0, 0, 0])),
        (BOXES, np.array([0.9, -1.0, -1.0]), LABELS),
        (BOXES, np.array([0.9, 0.8, 0.7]), LABELS),
    ],
    ids=['box', 'score', 'label', 'missing', 'one too many'],
)
def test_match__without_a_twin(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> None:
    assert match((boxes, scores, labels), (BOXES, SCORES, LABELS))[:2] == (2, 1)


def test_match__masks_and_nothing_at_all() -> None:
    masks = np.zeros((3, 4, 4))
    assert match((BOXES, SCORES, LABELS, masks + 0.01), (BOXES, SCORES, LABELS, masks)) == (2, 0, 0, 0, 0.01)
    assert match((BOXES, SCORES, LABELS, masks + 0.03), (BOXES, SCORES, LABELS, masks)) == (2, 2, 0, 0, 0)
    nothing = (BOXES, np.full(3, -1.0), LABELS)
    assert match(nothing, nothing) == (0, 0, 0, 0, 0)
