"""Scores on cases small enough to work by hand."""

import numpy as np
import pytest

from fgdet.evaluation.functional import region_text
from fgdet.evaluation.functional.region_text import (
    classification_accuracy,
    count_wrong_ahead,
    hard_negative_accuracy,
    recall_at,
    retrieval_recall,
    wins_over_negatives,
)

IMAGES = np.eye(3)


def test_retrieval_recall__hand_case():
    # Image 0 prefers text 1, the others their own; text 0 is most like image 0, text 1 like image 0 (0.9 > 0.8).
    texts = np.array([[0.5, 0.0, 0.0], [0.9, 0.8, 0.0], [0.0, 0.0, 1.0]])
    recall = retrieval_recall(IMAGES, texts)
    assert recall['image_to_text'] == pytest.approx(2 / 3)
    assert recall['text_to_image'] == pytest.approx(2 / 3)
    assert retrieval_recall(IMAGES, texts, k=2) == {'image_to_text': 1.0, 'text_to_image': 1.0}


def test_retrieval_recall__constant_features_score_nothing():
    assert retrieval_recall(np.ones((4, 2)), np.ones((4, 2)))['image_to_text'] == 0.0


def test_classification_accuracy__hand_case():
    regions = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    classes = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert classification_accuracy(regions, classes, np.array([0, 0, 1])) == pytest.approx(2 / 3)
    assert classification_accuracy(regions, classes, np.array([0, 0, 1]), k=2) == 1.0


def test_hard_negative_accuracy__groups_of_unequal_size():
    regions = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    texts = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.5], [0.0, 0.6], [1.0, 0.4], [0.7, 0.0]])
    # Group 1: 0.9 beats 0.8. Group 2: 0.5 loses to 0.6. Group 3: its phrase stands alone with one worse negative.
    assert hard_negative_accuracy(regions, texts, np.array([2, 2, 2])) == pytest.approx(2 / 3)


def test_hard_negative_accuracy__a_tie_is_no_success():
    assert hard_negative_accuracy(np.array([[1.0, 0.0]]), np.array([[0.5, 0.1], [0.5, 0.9]]), np.array([2])) == 0.0


def naive_wrong_ahead(queries, candidates, query_labels, candidate_labels):
    """One query and one candidate at a time."""
    counts = []
    for query, label in zip(queries, query_labels, strict=True):
        own = [query @ c for c, other in zip(candidates, candidate_labels, strict=True) if other == label]
        wrong = [query @ c for c, other in zip(candidates, candidate_labels, strict=True) if other != label]
        counts.append(sum(score >= max(own) for score in wrong) if own else len(candidates))
    return counts


@pytest.mark.parametrize('at_once', [1, 3, 100])
def test_count_wrong_ahead__equals_a_naive_loop_with_equal_labels_ties_and_unknown_ones(monkeypatch, at_once):
    monkeypatch.setattr(region_text, '_QUERIES_AT_ONCE', at_once)
    rng = np.random.default_rng(0)
    # Small whole numbers: many exact ties, and no rounding that could depend on the size of a product.
    queries, candidates = rng.integers(-2, 3, (17, 3)).astype(float), rng.integers(-2, 3, (11, 3)).astype(float)
    labels, others = rng.integers(0, 6, 17), rng.integers(0, 5, 11)
    counts = count_wrong_ahead(queries, candidates, labels, others)
    assert counts.tolist() == naive_wrong_ahead(queries, candidates, labels, others)
    assert recall_at(counts, [1, 5]) == [np.mean(counts == 0), np.mean(counts <= 4)]


def test_count_wrong_ahead__no_number_is_no_match():
    bad = np.full((2, 2), np.nan)
    labels = np.arange(2)
    assert count_wrong_ahead(bad, np.eye(2), labels, labels).tolist() == [1, 1]
    assert count_wrong_ahead(np.eye(2), bad, labels, labels).tolist() == [1, 1]


def test_count_wrong_ahead__no_queries():
    assert len(count_wrong_ahead(np.empty((0, 2)), np.eye(2), np.empty(0, int), np.arange(2))) == 0


def test_retrieval_recall__equal_texts_are_one_answer():
    # Images 0 and 2 have one text. Told apart by rows, its two copies tie and nobody finds it.
    texts = np.array([[1.0, 0.0, 0.9], [0.0, 1.0, 0.0], [1.0, 0.0, 0.9]])
    assert retrieval_recall(IMAGES, texts) == pytest.approx({'image_to_text': 1 / 3, 'text_to_image': 2 / 3})
    same = retrieval_recall(IMAGES, texts, text_labels=np.array([0, 1, 0]))
    assert same == {'image_to_text': 1.0, 'text_to_image': 1.0}


def test_wins_over_negatives__none():
    assert wins_over_negatives(np.empty((0, 2)), np.empty((0, 2)), np.empty(0, int)).shape == (0,)
