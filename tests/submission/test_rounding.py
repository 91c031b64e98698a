import numpy as np
import pytest

from fgdet.evaluation.result_table import ResultTable
from fgdet.submission.rounding import lost_precision, rounded_scores


def test_scores__few_of_them_get_six_decimals():
    rounded, words = rounded_scores(np.array([0.12345678, 0.5, 0.98765432]))
    assert rounded.tolist() == [0.123457, 0.5, 0.987654] and words == 'to 6 decimals'


@pytest.mark.parametrize(
    ('scores', 'words'),
    [
        (np.float32([0.12345678, 0.1234567, 1e-9, 2e-9]).astype(float), 'to single precision'),
        (np.array([0.5, 0.5 + 1e-15, 0.25]), 'as given'),
    ],
)
def test_scores__differing_ones_are_never_made_equal(scores, words):
    rounded, done = rounded_scores(scores)
    assert done == words
    assert (np.argsort(rounded, kind='stable') == np.argsort(scores, kind='stable')).all()
    assert len(np.unique(rounded)) == len(np.unique(scores))
    assert max(len(str(value)) for value in rounded) <= 18
    assert rounded == pytest.approx(scores, rel=1e-7)


def test_scores__order_ties_and_a_second_time_on_random_ones():
    random = np.random.default_rng(0)
    for num in (10, 1000, 50_000):
        scores = random.beta(0.3, 3, num).astype(np.float32).astype(float)
        scores[num // 2 :: 3] = scores[0]
        rounded, _ = rounded_scores(scores)
        order = np.argsort(scores, kind='stable')
        assert (np.sign(np.diff(rounded[order])) == np.sign(np.diff(scores[order]))).all()
        assert (rounded_scores(rounded)[0] == rounded).all()
    assert rounded_scores(np.zeros(0))[0].tolist() == []


def _table(boxes, scores):
    ids = np.ones(len(scores), dtype=np.int64)
    return ResultTable(ids, ids, np.array(boxes, dtype=float), np.array(scores, dtype=float))


def test_lost_precision__names_what_was_rounded():
    good = [[0.5, 1, 2, 3], [1, 2, 3, 4.25]]
    assert lost_precision(_table(good, [0.12345, 0.2]), False) == []
    assert lost_precision(_table(np.round(good), [0.12345, 0.2]), True) == []
    (whole,) = lost_precision(_table(np.round(good), [0.12345, 0.2]), False)
    assert 'whole pixels' in whole
    assert 'all scores are 1:' in lost_precision(_table(good, [1, 1]), False)[0]
    (ties,) = lost_precision(_table([*good, good[0]], [0.1, 0.1, 0.2]), False)
    assert '3 detections share 2 values' in ties
