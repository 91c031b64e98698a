"""What is chosen again equals what the head's last step chooses, whatever the numbers."""

from typing import Any

import numpy as np
import pytest
import torch

from fgdet.models.post_processing.recorded_scores import choose_again, classes_are_apart, record_scores
from fgdet.models.post_processing.region_scores import RegionScores, ScoreEnsemble

IS_TRAINED = torch.tensor([True, False, True, False, False, True, False, False])
TEMPERATURES = (0.02, 0.1)
SETTINGS: dict[str, dict[str, Any]] = {
    'two-stage': dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=30),
    'all': dict(nms=dict(type='nms', iou_threshold=0.7), max_per_img=40),
    'dino': dict(max_per_img=25),
    'agnostic': dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=30, class_agnostic_nms=True),
    'soft': dict(score_thr=0.1, nms=dict(type='soft_nms', iou_threshold=0.4, min_score=0.05), max_per_img=30),
}


def random_regions(num: int = 50) -> RegionScores:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(num, 2, 2, generator=generator).mul(60).sort(dim=1).values
    detector = torch.rand(num, 8, generator=generator) ** 4  # mostly small, as they are
    return RegionScores(corners.flatten(1), detector, torch.rand(num, 8, generator=generator) * 0.4)


@pytest.mark.parametrize('rescale', [True, False])
@pytest.mark.parametrize('num_negatives', [0, 2])
@pytest.mark.parametrize('kind', list(SETTINGS))
def test_choose_again__as_the_head(kind: str, num_negatives: int, rescale: bool) -> None:
    regions, settings, meta = random_regions(), SETTINGS[kind], dict(scale_factor=(2.0, 1.5))
    recorded = record_scores(regions, num_negatives, settings, meta, rescale, TEMPERATURES)
    for index, temperature in enumerate(TEMPERATURES):
        for alpha, beta in ((0.2, 0.45), (0.0, 1.0), (1.0, 0.3)):
            weights = dict(alpha=alpha, beta=beta, temperature=temperature)
            test_cfg = dict(settings, score_ensemble=weights)
            (expected,) = ScoreEnsemble()([regions], IS_TRAINED, num_negatives, test_cfg, [meta], rescale)
            boxes, scores, labels = choose_again(
                recorded, recorded.frozen[index], IS_TRAINED.numpy(), num_negatives, settings, alpha, beta
            )
            scale = np.ones(4) if rescale else np.array([2.0, 1.5, 2.0, 1.5])
            np.testing.assert_allclose(scores, expected.scores, rtol=1e-6)
            np.testing.assert_array_equal(labels, expected.labels)
            np.testing.assert_allclose(boxes, expected.bboxes.numpy() / scale, rtol=1e-6)


def test_record__keeps_few_pairs() -> None:
    # With a threshold, those whose larger part is above; without one, those that can be among the best 25.
    for kind in ('two-stage', 'dino'):
        recorded = record_scores(random_regions(), 0, SETTINGS[kind], dict(scale_factor=(1, 1)), True, TEMPERATURES)
        assert 25 < len(recorded.rows) < 0.85 * 400


def test_choose_again__some_classes_alone() -> None:
    settings = SETTINGS['two-stage'] | dict(max_per_img=-1)
    recorded = record_scores(random_regions(), 0, settings, dict(scale_factor=(1, 1)), True, TEMPERATURES)
    trained = IS_TRAINED.numpy()
    together = choose_again(recorded, recorded.frozen[0], trained, 0, settings, 0.2, 0.45)
    for group, (alpha, beta) in ((trained, (0.2, 0.9)), (~trained, (0.9, 0.45))):
        alone = choose_again(recorded, recorded.frozen[0], trained, 0, settings, alpha, beta, only=group)
        for ours, theirs in zip(alone, together, strict=True):
            np.testing.assert_array_equal(ours, theirs[group[together[2]]])


def test_classes_are_apart() -> None:
    assert classes_are_apart(0, SETTINGS['two-stage'])
    assert classes_are_apart(0, SETTINGS['dino'])
    assert not classes_are_apart(1, SETTINGS['two-stage'])
    assert not classes_are_apart(0, SETTINGS['agnostic'])
    assert not classes_are_apart(0, dict(nms=dict(iou_threshold=0.5, class_agnostic=True)))


def test_record__no_regions() -> None:
    empty = RegionScores(torch.zeros(0, 4), torch.zeros(0, 8), torch.zeros(0, 8))
    recorded = record_scores(empty, 2, SETTINGS['dino'], dict(scale_factor=(1, 1)), True, TEMPERATURES)
    found = choose_again(recorded, recorded.frozen[0], IS_TRAINED.numpy(), 2, SETTINGS['dino'], 0.2, 0.4)
    assert [each.shape for each in found] == [(0, 4), (0,), (0,)]
