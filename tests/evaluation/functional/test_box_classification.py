"""Ranks and accuracies of given boxes: worked by hand, and against loops over boxes and classes."""

from typing import Any

import numpy as np
import pytest

from fgdet.evaluation.functional.box_classification import (
    NEVER,
    BoxRanks,
    GivenBoxes,
    best_classes,
    read_answers,
)
from fgdet.evaluation.resampling import Resampler
from fgdet.utils.checks import UserError

CATEGORIES: list[dict[str, Any]] = [dict(id=number, name=f'class {number}') for number in (7, 3, 9, 1, 4, 6, 8)]


def annotations(num_images: int = 5, num_boxes: int = 40, seed: int = 0) -> dict[str, Any]:
    """Boxes of random classes; one image has none, and one image has a box twice, of two classes."""
    random = np.random.default_rng(seed)
    objects = [
        dict(
            id=100 + number,
            image_id=int(random.integers(num_images - 1)) * 10,
            category_id=int(random.choice([1, 3, 4, 7, 9])),
            bbox=random.uniform(1, 50, 4).round(2).tolist(),
        )
        for number in range(num_boxes)
    ]
    if objects:
        objects.append(dict(objects[0], id=1, category_id=9 if objects[0]['category_id'] != 9 else 3))
    images = [dict(id=number * 10, file_name=f'{number}.png') for number in random.permutation(num_images).tolist()]
    return dict(images=images, categories=CATEGORIES, annotations=objects)


def test_given_boxes__what_counts_image_by_image() -> None:
    whole = annotations(3, 0)
    whole['images'] = [dict(id=20), dict(id=0), dict(id=10)]
    whole['annotations'] = [
        dict(id=5, image_id=0, category_id=9, bbox=[1, 2, 3, 4]),
        dict(id=6, image_id=20, category_id=7, bbox=[0, 0, 5, 5], iscrowd=1),
        dict(id=7, image_id=20, category_id=7, bbox=[0, 0, 5, 0], iscrowd=0),
        dict(image_id=20, category_id=3, bbox=[9, 8, 1, 1]),
        dict(id=9, image_id=10, category_id=3, bbox=[1, 1, 1, 1]),
    ]
    given = GivenBoxes.from_annotations(whole)
    assert given.images.tolist() == [0, 1, 2] and given.classes.tolist() == [1, 2, 1]
    assert given.annotation_ids.tolist() == [3, 5, 9] and (given.num_crowd, given.num_no_area) == (1, 1)
    assert [boxes.tolist() for boxes in given.of_images()] == [[[9, 8, 10, 9]], [[1, 2, 4, 6]], [[1, 1, 2, 2]]]
    first = GivenBoxes.from_annotations(whole, limit=1, crowd=True)
    assert first.annotation_ids.tolist() == [6, 3] and (first.num_crowd, first.num_no_area) == (0, 1)
    whole['annotations'].append(dict(image_id=20, category_id=2, bbox=[1, 1, 1, 1]))
    with pytest.raises(UserError, match=r'annotations\[5\]: category_id 2 is none of the file'):
        GivenBoxes.from_annotations(whole)


def test_best_classes__softmax_of_cosines_the_first_of_equal_ones() -> None:
    random = np.random.default_rng(0)
    classes = random.normal(size=(7, 6))
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    classes[5] = classes[2]
    features = np.concatenate([random.normal(size=(20, 6)) * random.uniform(0.01, 1000, (20, 1)), np.zeros((1, 6))])
    best, probabilities = best_classes(features.astype(np.float32), classes, k=5)
    for feature, row, shares in zip(features.astype(np.float32).astype(np.float64), best, probabilities, strict=True):
        cosines = [float(feature @ each) / (np.linalg.norm(feature) or 1) for each in classes]
        cosines[5] = cosines[2]
        order = sorted(range(7), key=lambda index: (-cosines[index], index))
        assert row.tolist() == order[:5]
        expected = np.exp(100 * np.array(cosines)) / np.exp(100 * np.array(cosines)).sum()
        np.testing.assert_allclose(shares, expected[row], rtol=1e-6)
    assert best_classes(np.zeros((0, 6)), classes)[0].shape == (0, 5)
    assert best_classes(features, classes[:2])[0].shape == (21, 2)
    features[3, 1] = np.nan
    with pytest.raises(ValueError, match='box 3 has numbers that are not finite'):
        best_classes(features, classes)


@pytest.mark.parametrize('seed', range(5))
def test_read_answers__as_a_loop_over_boxes_in_any_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    whole = annotations(seed=seed)
    given = GivenBoxes.from_annotations(whole)
    position = {category['id']: i for i, category in enumerate(CATEGORIES)}
    # A few scores, so that many are equal; some boxes have no prediction, some a class twice.
    predictions = [
        dict(image_id=each['image_id'], category_id=int(number), bbox=each['bbox'], score=float(random.integers(4)) / 4)
        for each in whole['annotations'][3:]
        for number in random.choice([7, 3, 9, 1, 4, 6, 8], 4)
    ]
    answers = read_answers(whole, given, predictions)
    shuffled = read_answers(whole, given, [predictions[i] for i in random.permutation(len(predictions))])
    for row, (image, label, box) in enumerate(zip(given.images, given.classes, given.boxes, strict=True)):
        scores: dict[int, float] = {}
        for each in predictions:
            if each['image_id'] == given.image_ids[image] and each['bbox'] == box.tolist():
                index = position[each['category_id']]
                scores[index] = max(each['score'], scores.get(index, 0))
        order = sorted(scores, key=lambda index: (-scores[index], index))
        assert answers.ranks[row] == shuffled.ranks[row] == (order.index(label) if label in order else NEVER)
        assert answers.best[row] == shuffled.best[row] == (order[0] if order else -1)
        assert order == [] or answers.scores[row] == scores[order[0]]
    assert (answers.best < 0).any() and (answers.ranks == 0).any()
    assert (read_answers(whole, given, []).ranks == NEVER).all()


def test_read_answers__results_of_the_best_classes_come_back() -> None:
    whole = annotations()
    given = GivenBoxes.from_annotations(whole)
    random = np.random.default_rng(1)
    classes, keys = np.eye(7), dict.fromkeys(zip(given.images.tolist(), map(tuple, given.boxes.tolist()), strict=True))
    feature_of = {key: random.normal(size=7) for key in keys}  # equal boxes of an image have equal features
    features = np.array(
        [feature_of[key] for key in zip(given.images.tolist(), map(tuple, given.boxes.tolist()), strict=True)]
    )
    answers = read_answers(whole, given, given.results(*best_classes(features, classes)))
    order = np.argsort(-features, axis=1)[:, :5]
    expected = [
        row.tolist().index(label) if label in row else NEVER for row, label in zip(order, given.classes, strict=True)
    ]
    assert answers.ranks.tolist() == expected and answers.best.tolist() == order[:, 0].tolist()
    mistakes = answers.mistakes(given, [each['name'] for each in CATEGORIES], 3)
    scores = [each['score'] for each in mistakes]
    assert len(mistakes) == 3 and scores == sorted(scores, reverse=True)
    assert all(each['name'] != each['truth'] and each['kind'] == 'wrong class' for each in mistakes)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(bbox=[1, 2, 3, 4.5]), r'predictions\[1\]: image 0 has no object with the box \[1.0, 2.0, 3.0, 4.5\]'),
        (dict(image_id=10), r'predictions\[1\]: image 10 has no object'),
        (dict(image_id=11), r'predictions\[1\]: image_id 11 is not among'),
        (dict(category_id=2), r'predictions\[1\]: category_id 2 is not among'),
        (dict(score=float('nan')), r'predictions\[1\]: score'),
    ],
)
def test_read_answers__refuses_what_is_of_no_box(change: dict[str, Any], message: str) -> None:
    whole = annotations(3, 0)
    whole['annotations'] = [dict(id=5, image_id=0, category_id=9, bbox=[1, 2, 3, 4])]
    good = dict(image_id=0, category_id=9, bbox=[1, 2, 3, 4], score=0.5)
    with pytest.raises(UserError, match=message):
        read_answers(whole, GivenBoxes.from_annotations(whole), [good, good | change])


def test_box_ranks__accuracies_of_boxes_classes_and_groups() -> None:
    # Class 0 has three boxes, class 1 one, class 2 none, class 3 two.
    run: Resampler = BoxRanks(
        np.array([5, 6]),
        np.array([0, 0, 0, 1, 1, 1]),
        np.array([0, 0, 1, 0, 3, 3]),
        np.array([0, 4, 5, 1, 0, 4]),
        4,
        {'rare': np.array([True, False, True, False]), 'common': np.array([False, False, True, False])},
    )
    scores = run.scores(np.array([1, 1]))
    assert (scores['top1'], scores['top5']) == (2 / 6, 5 / 6)
    assert scores['class_top1'] == pytest.approx((1 / 3 + 0 + 1 / 2) / 3)
    assert scores['class_top5'] == pytest.approx((1 + 0 + 1) / 3)
    assert (scores['rare_top1'], scores['rare_class_top5']) == (1 / 3, 1) and np.isnan(scores['common_top1'])
    twice = run.scores(np.array([0, 2]))  # the second image alone, counted twice
    assert (twice['top1'], twice['top5'], twice['class_top1']) == (1 / 3, 1, 0.25)
    assert isinstance(run, BoxRanks)
    rows = run.class_rows(['a', 'b', 'c', 'd'])
    assert rows[0] == dict(name='a', group='rare', num_objects=3, top1=1 / 3, top5=1.0)
    assert [row['name'] for row in rows] == ['a', 'b', 'd']
