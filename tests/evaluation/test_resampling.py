"""Intervals against the closed form of a mean, and paired differences against their definition."""

import numpy as np
import pytest

from fgdet.evaluation.resampling import MeanResampler, image_weights, intervals, paired_differences
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


def test_mean_resampler__is_the_mean_of_items_written_out():
    values = {'a': np.array([1.0, 0.0, 1.0, 1.0]), 'b': np.array([np.nan, 0.25, 0.5, np.nan])}
    run = MeanResampler([10, 20, 30, 40], values, np.array([0, 2, 2, 3]))
    assert run.scores(np.ones(4, dtype=np.int64)) == {'a': 0.75, 'b': 0.375}
    assert run.scores(np.array([3, 1, 1, 0])) == {'a': 0.8, 'b': 0.375}  # a: 1 1 1 0 1
    found = run.scores(np.array([1, 3, 0, 0]))
    assert found['a'] == 1.0 and np.isnan(found['b'])


def test_mean_resampler__bad_inputs():
    with pytest.raises(ValueError, match='item_images'):
        MeanResampler([1, 2], {'a': np.ones(1)}, np.array([2]))
    with pytest.raises(ValueError, match='a: expected'):
        MeanResampler([1, 2], {'a': np.ones(3)}, np.array([0, 1]))
    assert np.isnan(MeanResampler([1], {'a': np.zeros(0)}, np.zeros(0)).scores(np.ones(1))['a'])
