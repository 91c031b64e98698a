"""Platt scaling against hand-worked values, another optimiser and known generating numbers."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fgdet.evaluation.functional.calibration_error import expected_calibration_error
from fgdet.models.post_processing.calibration import calibrate, fit_calibration


def test_calibrate__hand_worked() -> None:
    # logit(0.8) = ln 4: doubled, ln 16; less ln 16 is 0.
    scores = calibrate(np.array([0.8, 0.5, 0.0, 1.0], dtype=np.float32), scale=2.0, bias=-np.log(16))
    np.testing.assert_allclose(scores, [0.5, 1 / 17, 0.0, 1.0], atol=1e-6)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(calibrate(np.array([0.1, 0.9]), 1.0, 0.0), [0.1, 0.9], rtol=1e-12)
    assert calibrate(np.zeros(0), 2.0, 1.0).shape == (0,)


def test_fit__finds_what_made_the_data() -> None:
    generator = np.random.default_rng(0)
    scores = generator.uniform(0.01, 0.99, 200_000)
    right = generator.uniform(size=len(scores)) < calibrate(scores, 0.5, -1.0)
    np.testing.assert_allclose(fit_calibration(scores, right), (0.5, -1.0), atol=0.03)
    assert expected_calibration_error(calibrate(scores, 0.5, -1.0), right) < 0.01
    assert expected_calibration_error(scores, right) > 0.1


@pytest.mark.parametrize('separable', [False, True])
def test_fit__as_another_optimiser(separable: bool) -> None:
    generator = np.random.default_rng(1)
    scores = generator.uniform(0, 1, 60)
    right = scores > 0.6 if separable else generator.uniform(size=60) < scores**3
    high, low = (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2)
    targets = np.where(right, high, low)

    def loss(weights: np.ndarray) -> float:
        p = calibrate(scores, *weights)
        return -np.sum(targets * np.log(p) + (1 - targets) * np.log(1 - p))

    expected = minimize(loss, [1.0, 0.0], method='Nelder-Mead', options=dict(xatol=1e-9, fatol=1e-12, maxiter=4000))
    np.testing.assert_allclose(fit_calibration(scores, right), expected.x, rtol=1e-5)


@pytest.mark.parametrize('right', [[], [True, True], [False, False]])
def test_fit__nothing_to_tell_apart(right: list[bool]) -> None:
    with pytest.raises(ValueError, match='expected right and wrong detections'):
        fit_calibration(np.linspace(0.2, 0.8, len(right)), np.array(right, dtype=bool))
    with pytest.raises(ValueError, match='scores that differ'):
        fit_calibration(np.full(2, 0.5), np.array([True, False]))
