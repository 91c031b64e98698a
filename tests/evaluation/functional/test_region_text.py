"""Scores on cases small enough to work by hand."""

import numpy as np
import pytest

from fgdet.evaluation.functional.region_text import (
    classification_accuracy,
    hard_negative_accuracy,
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


def test_retrieval_recall__equal_texts_are_one_answer():
    # Images 0 and 2 have one text. Told apart by rows, its two copies tie and nobody finds it.
    texts = np.array([[1.0, 0.0, 0.9], [0.0, 1.0, 0.0], [1.0, 0.0, 0.9]])
    assert retrieval_recall(IMAGES, texts) == pytest.approx({'image_to_text': 1 / 3, 'text_to_image': 2 / 3})
    same = retrieval_recall(IMAGES, texts, text_labels=np.array([0, 1, 0]))
    assert same == {'image_to_text': 1.0, 'text_to_image': 1.0}


def test_wins_over_negatives__none():
    assert wins_over_negatives(np.empty((0, 2)), np.empty((0, 2)), np.empty(0, int)).shape == (0,)
