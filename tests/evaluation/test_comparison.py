import math

import numpy as np
import pytest

from fgdet.evaluation.comparison import compare_evaluations
from fgdet.evaluation.evaluation import Evaluation
from fgdet.utils.checks import UserError


class _Means:
    """The mean of one value an image, and a score that is known only where image 0 is drawn."""

    def __init__(self, values):
        self.values, self.image_ids = np.array(values, dtype=float), np.arange(len(values))

    def scores(self, weights):
        first = float(self.values[0]) if weights[0] else math.nan
        return {'mean': float((weights * self.values).sum() / weights.sum()), 'first': first}


def _evaluation(values, classes=()):
    run = _Means(values)
    scores = run.scores(np.ones(len(values), int)) | {'images': len(values)}
    return Evaluation('x', 'p', scores, {}, {'all': {'mean': 'mean'}}, classes=list(classes), resampler=run)


def test_compare_evaluations__equals_a_naive_paired_bootstrap():
    rng = np.random.default_rng(3)
    before = rng.random(30)
    after = before + rng.normal(0.03, 0.1, 30)
    found = compare_evaluations(_evaluation(before), _evaluation(after), resamples=200, seed=7).differences['mean']
    generator = np.random.default_rng(7)
    drawn = []
    for _ in range(200):
        images = generator.integers(0, 30, 30)
        drawn.append(np.mean([after[i] for i in images]) - np.mean([before[i] for i in images]))
    drawn.sort()
    assert found.difference == pytest.approx(after.mean() - before.mean())
    low, high = (np.interp(share * 199, np.arange(200), drawn) for share in (0.025, 0.975))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.probability == pytest.approx(sum(each > 0 for each in drawn) / 200)


def test_compare_evaluations__counts_and_runs_without_resampler_have_no_interval():
    first, second = _evaluation([0.1, 0.2]), _evaluation([0.3, 0.2])
    counted = compare_evaluations(first, second, resamples=10).differences['images']
    assert counted.difference == 0
    assert math.isnan(counted.low)
    first.resampler = None
    found = compare_evaluations(first, second).differences['mean']
    assert found.difference == pytest.approx(0.1)
    assert math.isnan(found.probability)


def test_compare_evaluations__classes_by_size_of_change():
    def rows(*values):
        return [{'name': name, 'num_objects': 3, 'ap50': value} for name, value in zip('abcd', values, strict=False)]

    first = _evaluation([0.1], rows(0.5, 0.5, math.nan, 0.2))
    second = _evaluation([0.1], [*rows(0.6, 0.1, 0.3), {'name': 'e', 'num_objects': 1, 'ap50': 1.0}])
    found = compare_evaluations(first, second, resamples=2)
    assert found.class_score == 'ap50'
    assert [(each['name'], round(each['difference'], 9)) for each in found.classes] == [('b', -0.4), ('a', 0.1)]


def test_compare_evaluations__other_images_are_refused():
    with pytest.raises(UserError, match='different images'):
        compare_evaluations(_evaluation([0.1]), _evaluation([0.1, 0.2]))
