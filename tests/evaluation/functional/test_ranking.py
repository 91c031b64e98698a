"""Counts against loops over pairs in float64, at several sizes of a tile."""

import numpy as np
import pytest

from fgdet.evaluation.functional import ranking
from fgdet.evaluation.functional.ranking import count_wrong_ahead, count_wrong_ahead_both_ways, recall_at


def naive_wrong_ahead(queries, candidates, query_labels, candidate_labels):
    """One query and one candidate at a time, in float64."""
    counts = []
    for query, label in zip(queries.astype(np.float64), query_labels, strict=True):
        pairs = list(zip(candidates.astype(np.float64), candidate_labels, strict=True))
        own = [query @ candidate for candidate, other in pairs if other == label]
        wrong = [query @ candidate for candidate, other in pairs if other != label]
        counts.append(sum(score >= max(own) - 1e-12 for score in wrong) if own else len(candidates))
    return counts


def unit(features):
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=[(1, 1), (3, 2), (4, 100)], ids=str)
def tile(request, monkeypatch):
    monkeypatch.setattr(ranking, 'TILE', request.param)
    monkeypatch.setattr(ranking, '_PAIR_NUMBERS', 7)
    return request.param


def test_count_wrong_ahead__equals_a_naive_loop_with_equal_labels_ties_and_unknown_ones(tile):
    rng = np.random.default_rng(0)
    queries, candidates = rng.integers(-2, 3, (17, 3)).astype(float), rng.integers(-2, 3, (11, 3)).astype(float)
    labels, others = rng.integers(0, 6, 17), rng.integers(0, 5, 11)
    counts = count_wrong_ahead(queries, candidates, labels, others)
    assert counts.tolist() == naive_wrong_ahead(queries, candidates, labels, others)
    assert recall_at(counts, [1, 5]) == [np.mean(counts == 0), np.mean(counts <= 4)]


@pytest.mark.parametrize('many', [0.0, 1.0], ids=['whole tiles', 'single pairs'])
def test_count_wrong_ahead_both_ways__near_ties_are_told_apart_as_in_float64(tile, many, monkeypatch):
    """Candidates that differ by one rounding of float32, and copies: float32 products alone tell neither reliably."""
    monkeypatch.setattr(ranking, '_MANY', many)
    rng = np.random.default_rng(1)
    base = unit(rng.standard_normal((3, 64)))
    first = np.concatenate([base, np.nextafter(base, np.float32(1)), base[1:]])
    second = np.concatenate([unit(base + 1e-7 * rng.standard_normal((3, 64))), base, np.nextafter(base, np.float32(0))])
    labels, others = np.array([0, 1, 2, 3, 4, 5, 1, 7]), np.array([0, 4, 1, 2, 5, 1, 3, 6, 0])
    ahead, ahead_back = count_wrong_ahead_both_ways(first, second, labels, others)
    assert ahead.tolist() == naive_wrong_ahead(first, second, labels, others)
    assert ahead_back.tolist() == naive_wrong_ahead(second, first, others, labels)
    assert 0 < ahead[:7].sum() < 7 * len(second)


def test_count_wrong_ahead_both_ways__real_size_of_features_in_the_published_tiles():
    rng = np.random.default_rng(2)
    texts = rng.standard_normal((90, 32))
    images = unit(texts.reshape(30, 3, 32).mean(1) + 0.7 * rng.standard_normal((30, 32)))
    labels = np.repeat(np.arange(30), 3)
    order = rng.permutation(90)
    ahead, back = count_wrong_ahead_both_ways(images, unit(texts)[order], np.arange(30), labels[order])
    assert ahead.tolist() == naive_wrong_ahead(images, unit(texts), np.arange(30), labels)
    assert back.tolist() == naive_wrong_ahead(unit(texts)[order], images, labels[order], np.arange(30))
    assert len(set(ahead)) > 3


def test_count_wrong_ahead__no_number_is_no_match(tile):
    bad = np.full((2, 2), np.nan)
    labels = np.arange(2)
    assert count_wrong_ahead(bad, np.eye(2), labels, labels).tolist() == [2, 2]
    assert count_wrong_ahead(np.eye(2), bad, labels, labels).tolist() == [2, 2]
    one_bad = np.array([[1.0, 0.0], [np.inf, 0.0]])
    assert count_wrong_ahead(np.eye(2), one_bad, labels, labels).tolist() == [1, 2]


def test_count_wrong_ahead__features_that_are_all_equal_find_nothing():
    same = unit(np.ones((50, 8)))
    labels = np.arange(50)
    assert all((counts == 49).all() for counts in count_wrong_ahead_both_ways(same, same, labels, labels))


def test_count_wrong_ahead__no_queries_and_no_candidates():
    nothing = np.empty((0, 2)), np.empty(0, int)
    assert len(count_wrong_ahead(nothing[0], np.eye(2), nothing[1], np.arange(2))) == 0
    assert count_wrong_ahead(np.eye(2), nothing[0], np.arange(2), nothing[1]).tolist() == [0, 0]
