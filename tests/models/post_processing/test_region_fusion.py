"""Fusion against a loop over boxes and classes in plain Python."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import roi_align

from fgdet.models.post_processing.region_fusion import NO_LABEL, region_fusion


def naive_fusion(
    features: list[list[float]],
    classes: list[list[float]],
    scores: list,
    labels: list[int] | None,
    alpha: float,
    temperature: float,
    num_negatives: int = 0,
) -> tuple[list[float], list[int]]:
    found_scores, found_labels = [], []
    for r, feature in enumerate(features):
        length = math.sqrt(sum(x * x for x in feature))
        cosines = [sum(a * b for a, b in zip(feature, each, strict=True)) / length for each in classes]
        powers = [math.exp(cosine / temperature) for cosine in cosines]
        fused = []
        for k, power in enumerate(powers):
            if isinstance(scores[r], list):
                p = scores[r][k]
            elif labels is None or labels[r] == NO_LABEL or labels[r] == k:
                p = scores[r]
            else:
                p = min(scores[r], (1 - scores[r]) / (len(classes) - 1))
            fused.append(p ** (1 - alpha) * (power / sum(powers)) ** alpha)
        names = len(classes) - num_negatives
        reported = [f if f >= max(fused[names:], default=0.0) else 0.0 for f in fused[:names]]
        found_scores.append(max(reported))
        own = labels[r] if labels is not None else NO_LABEL
        best = own != NO_LABEL and math.isclose(reported[own], max(reported), rel_tol=1e-6)
        found_labels.append(own if best else reported.index(max(reported)))
    return found_scores, found_labels


@pytest.mark.parametrize('known', ['no labels', 'labels', 'all classes'])
@pytest.mark.parametrize(('alpha', 'num_negatives'), [(0.0, 0), (0.35, 0), (1.0, 0), (0.5, 2)])
def test_fusion__a_loop(known: str, alpha: float, num_negatives: int) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(30, 8, generator=generator)
    classes = F.normalize(torch.randn(6, 8, generator=generator), dim=1)
    scores = torch.rand(*((30, 6) if known == 'all classes' else (30,)), generator=generator)
    labels = torch.randint(-1, 4, (30,), generator=generator) if known == 'labels' else None
    found = region_fusion(features, classes, scores, labels, alpha=alpha, temperature=0.2, num_negatives=num_negatives)
    expected = naive_fusion(
        features.double().tolist(),
        classes.double().tolist(),
        scores.double().tolist(),
        None if labels is None else labels.tolist(),
        alpha,
        0.2,
        num_negatives,
    )
    torch.testing.assert_close(found[0], torch.tensor(expected[0]), rtol=1e-5, atol=1e-6)
    decided = found[0] > 0  # of a box that a negative took, no name is left to compare
    if alpha or known != 'no labels':  # else all classes tie
        assert found[1][decided].tolist() == [e for e, d in zip(expected[1], decided, strict=True) if d]


def test_fusion__the_tower_overrules_a_weak_label_alone() -> None:
    # The tower is sure of class 1; the detector says class 0 with 0.3, then with 0.99.
    classes, features = torch.eye(2), torch.tensor([[0.0, 1.0]]).repeat(2, 1)
    scores, labels = region_fusion(
        features, classes, torch.tensor([0.3, 0.99]), torch.tensor([0, 0]), alpha=0.5, temperature=0.5
    )
    # q = (1, e^2) / (1 + e^2) = (0.119, 0.881); p = (0.3, 0.3) and (0.99, 0.01)
    assert labels.tolist() == [1, 0]
    torch.testing.assert_close(scores, torch.tensor([math.sqrt(0.3 * 0.880797), math.sqrt(0.99 * 0.119203)]))


def test_fusion__dense_map_and_boxes() -> None:
    generator = torch.Generator().manual_seed(1)
    dense = torch.randn(4, 5, 7, generator=generator)
    boxes = torch.tensor([[0.0, 0.0, 7.0, 5.0], [1.3, 0.7, 4.1, 3.9], [2.0, 2.0, 2.4, 2.3]])
    classes, scores = F.normalize(torch.randn(3, 4, generator=generator), dim=1), torch.tensor([0.2, 0.5, 0.9])
    pooled = roi_align(dense[None], [boxes], output_size=1, sampling_ratio=-1, aligned=True)
    found = region_fusion(dense, classes, scores, boxes=boxes, temperature=0.1)
    torch.testing.assert_close(found, region_fusion(pooled[:, :, 0, 0], classes, scores, temperature=0.1))


def test_fusion__one_class_and_no_boxes() -> None:
    found = region_fusion(torch.ones(1, 2), torch.eye(2)[:1], torch.tensor([0.25]), torch.tensor([0]))
    torch.testing.assert_close(found, (torch.tensor([0.5]), torch.tensor([0])))
    empty = region_fusion(torch.zeros(0, 2), torch.eye(2), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert [tuple(each.shape) for each in empty] == [(0,), (0,)]


def test_fusion__bad_input() -> None:
    features, classes = torch.ones(3, 2), torch.eye(2)
    with pytest.raises(ValueError, match=r'detector_scores: expected \(3,\) or \(3, 2\) of 3 boxes, got \(2,\)'):
        region_fusion(features, classes, torch.ones(2))
    with pytest.raises(ValueError, match=r'detector_scores: expected \(3,\) of 3 boxes, got \(3, 2\)'):
        region_fusion(features, classes, torch.ones(3, 2), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r'alpha in 0\.\.1 and a temperature above 0, got 1.5'):
        region_fusion(features, classes, torch.ones(3), alpha=1.5)
