"""Classification against loops over images and classes, and cases worked by hand."""

import numpy as np
import pytest

from fgdet.evaluation.functional.zero_shot import BestClasses, ZeroShotScores, best_classes, wrong_ahead
from fgdet.utils.checks import UserError


@pytest.mark.parametrize('num_classes', [2, 5, 9])
def test_scores__equal_a_naive_loop(num_classes):
    rng = np.random.default_rng(num_classes)
    classes = rng.standard_normal((num_classes, 6))
    labels = rng.integers(0, num_classes - 1, 40)  # the last class has no image
    images = classes[labels] + 1.2 * rng.standard_normal((40, 6))
    ahead = wrong_ahead(best_classes(images, classes), labels)
    unit = classes / np.linalg.norm(classes, axis=1, keepdims=True)
    naive = [sum(row @ unit[other] >= row @ unit[own] for other in range(num_classes) if other != own)
             for row, own in zip(images, labels, strict=True)]  # fmt: skip
    scores = ZeroShotScores(ahead, labels, num_classes, [str(i) for i in range(40)])
    by_class = [np.mean([n < 1 for n, own in zip(naive, labels, strict=True) if own == c]) for c in sorted(set(labels))]
    assert scores.scores() == pytest.approx(
        {'top1': np.mean([n < 1 for n in naive]), 'top5': np.mean([n < 5 for n in naive]),
         'mean_per_class': np.mean(by_class)}
    )  # fmt: skip
    rows = scores.classes([f'class {c}' for c in range(num_classes)])
    assert [row['num_objects'] for row in rows] == np.bincount(labels, minlength=num_classes).tolist()
    assert np.isnan(rows[-1]['top1'])
    weights = rng.integers(0, 3, 40)
    drawn = np.repeat(np.arange(40), weights)
    again = ZeroShotScores(ahead[drawn], labels[drawn], num_classes, [str(i) for i in drawn])
    assert scores.scores(weights) == pytest.approx(again.scores())


def test_best_classes__those_that_tie_over_the_last_place_are_left_out():
    classes = np.eye(8)[:, :7]
    classes[7] = classes[6]  # two classes of one text
    image = np.array([[0.9, 0.8, 0.7, 0.6, 0.1, 0.0, 0.3]])
    best = best_classes(image, classes)[0]
    assert best.classes.tolist() == [0, 1, 2, 3]  # the fifth place is 6's as much as 7's
    assert wrong_ahead([best] * 3, np.array([3, 6, 5]))[:1].tolist() == [3]
    assert (wrong_ahead([best] * 3, np.array([3, 6, 5]))[1:] > 5).all()
    both_fit = best_classes(image - 0.65 * np.eye(7)[3], classes)[0]
    assert both_fit.classes.tolist() == [0, 1, 2, 6, 7]
    assert wrong_ahead([both_fit] * 2, np.array([6, 7])).tolist() == [4, 4]  # and each counts against the other


def test_best_classes__features_all_equal_or_none_choose_nothing():
    assert len(best_classes(np.ones((1, 3)), np.ones((7, 3)))[0].classes) == 0
    unreadable = best_classes(np.zeros((1, 3)), np.eye(3))
    assert len(unreadable[0].classes) == 0
    assert wrong_ahead(unreadable, np.array([0]))[0] > 5


def test_wrong_ahead__a_tie_counts_against():
    best = BestClasses(np.array([4, 2, 0]), np.array([0.5, 0.5, 0.2]))
    assert wrong_ahead([best] * 3, np.array([4, 2, 0])).tolist() == [1, 1, 2]


@pytest.mark.parametrize(('images', 'classes'), [(0, 5), (3, 1)])
def test_scores__nothing_to_tell_apart_is_refused(images, classes):
    with pytest.raises(UserError, match=f'got {images} images and {classes} classes'):
        ZeroShotScores(np.zeros(images, int), np.zeros(images, int), classes, ['a'] * images)
