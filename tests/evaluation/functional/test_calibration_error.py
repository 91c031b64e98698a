"""Calibration errors against another library and hand-worked bins, thresholds against all there are."""

import hotcoco.metrics
import numpy as np
import pytest

from fgdet.evaluation.functional.calibration_error import (
    CalibrationResampler,
    Judged,
    best_threshold,
    class_f1,
    class_thresholds,
    equal_mass_edges,
    equal_width_edges,
    expected_calibration_error,
    judged_detections,
    reliability,
)
from fgdet.evaluation.functional.detection_matches import Matches
from fgdet.utils.checks import UserError


def detections(seed=0, number=400, num_classes=5, num_images=20, decimals=2):
    """Detections that are right by chance, and no more objects than a third of them beyond those found."""
    random = np.random.default_rng(seed)
    scores = random.random(number).round(decimals)
    right = random.random(number) < scores**2
    classes, images = random.integers(0, num_classes, number), random.integers(0, num_images, number)
    missed = random.integers(0, num_classes, number // 3)
    objects = np.concatenate([classes[right], missed])
    object_images = np.concatenate([images[right], random.integers(0, num_images, len(missed))])
    return Judged(scores, right, classes, images, object_images, np.bincount(objects, minlength=num_classes))


def test_expected_error__equals_hotcoco():
    judged = detections(decimals=9)
    for bins in (10, 15):
        found = reliability(judged.scores, judged.right, equal_width_edges(bins))
        expected = hotcoco.metrics.calibration_error(judged.scores, judged.right, bins)
        assert (found.expected_error(), found.largest_error()) == pytest.approx(expected, abs=1e-12)


def test_reliability__hand_worked():
    scores = np.array([0.0, 0.1, 0.5, 0.6, 0.9, 1.0])  # bins (0, 0.5], of which the first has 0, and (0.5, 1]
    found = reliability(scores, np.array([0, 0, 1, 1, 0, 1], dtype=bool), equal_width_edges(2))
    assert found.counts.tolist() == [3, 3]
    np.testing.assert_allclose([found.confidence, found.accuracy], [[0.2, 2.5 / 3], [1 / 3, 2 / 3]], atol=1e-12)
    assert found.expected_error() == pytest.approx(0.5 * (1 / 3 - 0.2) + 0.5 * (2.5 / 3 - 2 / 3))
    assert found.largest_error() == pytest.approx(2.5 / 3 - 2 / 3)
    empty = reliability(np.zeros(0), np.zeros(0, dtype=bool), equal_width_edges(3))
    assert np.isnan(empty.expected_error()) and np.isnan(empty.largest_error())
    with pytest.raises(UserError, match=r'0\.\.1, got 1\.5'):
        reliability(np.array([0.5, 1.5]), np.array([True, False]), equal_width_edges(3))


def test_expected_calibration_error__hand_worked():
    # Two bins: {0.2, 0.4} with one right: |0.5 - 0.3|; {0.9} wrong: 0.9.
    error = expected_calibration_error(np.array([0.2, 0.4, 0.9]), np.array([True, False, False]), num_bins=2)
    assert error == pytest.approx((2 * 0.2 + 0.9) / 3)


def test_equal_mass_edges__hold_equal_numbers():
    scores = np.random.default_rng(0).beta(0.3, 3, 150)
    found = reliability(scores, scores > 0.5, equal_mass_edges(scores))
    assert found.counts.tolist() == [10] * 15


def test_best_threshold__is_the_best_of_all_limits():
    for seed in range(5):
        judged = detections(seed, number=60, decimals=1)  # many ties
        number = int(judged.num_objects.sum())
        f1 = {}
        for limit in set(judged.scores.tolist()):
            kept = judged.scores >= limit
            f1[limit] = 2 * judged.right[kept].sum() / (kept.sum() + number)
        best = max(f1, key=lambda limit: (f1[limit], limit))
        found = best_threshold(judged.scores, judged.right, number)
        assert (found.score, found.f1) == pytest.approx((best, f1[best]))
        kept = judged.scores >= best
        assert found.precision == pytest.approx(judged.right[kept].mean())
        assert found.recall == pytest.approx(judged.right[kept].sum() / number)
    assert np.isnan(best_threshold(np.array([0.5]), np.array([False]), 3).score)
    assert np.isnan(best_threshold(np.zeros(0), np.zeros(0, dtype=bool), 0).score)


def test_class_thresholds__few_objects_take_the_common_one():
    judged = detections(1, number=300)
    scarce = judged.classes == 4
    judged = judged._replace(right=judged.right & ~scarce, num_objects=np.array([*judged.num_objects[:4], 3]))
    common, own = class_thresholds(judged, min_objects=10)
    assert own[4] == common[4] == best_threshold(judged.scores, judged.right, judged.num_objects.sum()).score
    f1 = class_f1(judged, own)
    for index in range(4):
        mine = judged.classes == index
        best = best_threshold(judged.scores[mine], judged.right[mine], judged.num_objects[index])
        assert (own[index], f1[index]) == pytest.approx((best.score, best.f1))
    assert f1[4] == 0


def test_judged_detections__leaves_out_what_is_ignored_or_low():
    right, ignored = np.zeros((2, 10, 4), dtype=bool)
    right[0, 0], ignored[0, 2] = True, True
    matches = Matches(
        rows=np.arange(4),
        images=np.zeros(4, dtype=int),
        classes=np.array([0, 0, 1, 1]),
        scores=np.array([0.9, 0.2, 0.8, 0.7]),
        right=right,
        ignored=ignored,
        image_ids=np.array([7]),
        category_ids=np.array([1, 2, 3]),
        object_images=np.zeros(2, dtype=int),
        object_classes=np.array([0, 2]),
    )
    judged = judged_detections(matches, min_score=0.5)
    assert judged.scores.tolist() == [0.9, 0.7] and judged.right.tolist() == [True, False]
    assert judged.num_objects.tolist() == [1, 0, 1]


def test_resampler__is_the_calibration_of_detections_written_out():
    judged = detections(2)
    common, own = class_thresholds(judged)
    run = CalibrationResampler(judged, np.arange(20), 15, {'common': common, 'own': own})
    weights = np.bincount(np.random.default_rng(5).integers(0, 20, 20), minlength=20)
    found = run.scores(weights)
    rows = np.repeat(np.arange(400), weights[judged.images])
    scores, right, classes = judged.scores[rows], judged.right[rows], judged.classes[rows]
    expected = reliability(scores, right, equal_width_edges())
    by_class = [
        reliability(scores[classes == k], right[classes == k], equal_width_edges()).expected_error() for k in range(5)
    ]
    of_mass = reliability(scores, right, equal_mass_edges(judged.scores))
    number, kept = weights[judged.object_images].sum(), scores >= own[classes]
    assert found['ece'] == pytest.approx(expected.expected_error())
    assert found['mce'] == pytest.approx(expected.largest_error())
    assert found['class_ece'] == pytest.approx(np.mean(by_class))
    assert found['equal_mass_ece'] == pytest.approx(of_mass.expected_error())
    assert found['own_f1'] == pytest.approx(2 * right[kept].sum() / (kept.sum() + number))
    assert found['own_precision'] == pytest.approx(right[kept].mean())
    assert found['common_recall'] == pytest.approx(right[scores >= common[0]].sum() / number)
    np.testing.assert_allclose(run._class_errors(weights[judged.images]), by_class)
    nothing = run.scores(np.zeros(20))
    assert all(np.isnan(value) for value in nothing.values())
