"""Intervals against the closed form of a mean, and paired differences against their definition."""

import numpy as np
import pytest

from fgdet.evaluation.resampling import image_weights, intervals, paired_differences
from fgdet.utils.checks import UserError


class Mean:
    """The mean of a value of each image, and a score that is never known."""

    def __init__(self, values):
        self.values = np.asarray(values, dtype=float)
        self.image_ids = np.arange(len(self.values))

    def scores(self, weights):
        return {'mean': float(np.average(self.values, weights=weights)), 'none': float('nan')}


def test_image_weights__are_draws_with_replacement():
    drawn = list(image_weights(5, 200, seed=3))
    assert all(weights.sum() == 5 for weights in drawn)
    assert np.mean(drawn) == 1
    assert np.array_equal(drawn, list(image_weights(5, 200, seed=3)))


def test_intervals__of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(0.5, 0.2, 400)
    found = intervals(Mean(values), resamples=2000)
    half = 1.96 * values.std() / 20
    assert found['mean'] == pytest.approx((values.mean() - half, values.mean() + half), abs=0.002)
    assert np.isnan(found['none']).all()


def test_paired_differences__are_narrower_than_those_of_each():
    values = np.random.default_rng(0).normal(0.5, 0.2, 100)
    found = paired_differences(Mean(values), Mean(values + 0.01), resamples=100)['mean']
    assert found == pytest.approx((0.01, 0.01, 0.01, 1.0))
    assert paired_differences(Mean(values), Mean(values), resamples=100)['mean'].probability == 0.5


def test_resampling__says_what_is_wrong():
    with pytest.raises(UserError, match='no image'):
        intervals(Mean([]))
    with pytest.raises(UserError, match='at least 2'):
        intervals(Mean([1]), resamples=1)
    with pytest.raises(UserError, match='different images'):
        paired_differences(Mean([1, 2]), Mean([1]))
