"""The last step of a head against loops and hand-worked values."""

import re

import pytest
import torch
from torch.nn.functional import cosine_similarity

from fgdet.models.post_processing.region_scores import (
    RegionScores,
    ScoreEnsemble,
    check_test_cfg,
    region_cosines,
)
from fgdet.utils.checks import UserError

NMS = dict(type='nms', iou_threshold=0.5)


def random_regions(seed: int = 0, num: int = 40, num_classes: int = 5) -> RegionScores:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(num, 2, 2, generator=generator).mul(60).sort(dim=1).values
    detector = torch.rand(num, num_classes, generator=generator)
    return RegionScores(corners.flatten(1), detector, torch.rand(num, num_classes, generator=generator) * 2 - 1)


def test_ensemble__a_loop_over_regions_and_classes() -> None:
    regions, is_trained = random_regions(), torch.tensor([True, False, True, False, False])
    settings = dict(
        score_thr=0.2, nms=None, max_per_img=1000, score_ensemble=dict(alpha=0.2, beta=0.6, temperature=0.1)
    )
    (found,) = ScoreEnsemble()([regions], is_trained, 1, settings, [dict(scale_factor=(2.0, 4.0))], rescale=True)
    assert regions.cosines is not None
    expected = []
    for box, p, cosine in zip(regions.boxes.double(), regions.detector.double(), regions.cosines.double(), strict=True):
        q = (cosine / 0.1).exp() / (cosine / 0.1).exp().sum()
        weight = [0.2, 0.6, 0.2, 0.6, 0.6]
        fused = [float(p[k] ** (1 - weight[k]) * q[k] ** weight[k]) for k in range(5)]
        rescaled = (box / torch.tensor([2, 4, 2, 4])).tolist()
        expected += [(fused[k], k, *rescaled) for k in range(4) if fused[k] > 0.2 and fused[k] >= fused[4]]
    expected.sort(reverse=True)
    ours = torch.cat([found.scores[:, None], found.labels[:, None], found.bboxes], dim=1)
    torch.testing.assert_close(ours, torch.tensor(expected))


def test_ensemble__classes_do_not_touch_each_other() -> None:
    regions, is_trained = random_regions()._replace(cosines=None), torch.ones(5, dtype=torch.bool)
    settings = dict(score_thr=0.3, nms=NMS, max_per_img=1000)
    (together,) = ScoreEnsemble()([regions], is_trained, 0, settings, [{}], rescale=False)
    for label in range(5):
        only = regions._replace(detector=regions.detector.where(torch.arange(5) == label, 0))
        (alone,) = ScoreEnsemble()([only], is_trained, 0, settings, [{}], rescale=False)
        mine = together[together.labels == label]
        assert torch.equal(alone.bboxes, mine.bboxes)
        assert torch.equal(alone.scores, mine.scores)


def test_ensemble__a_box_of_one_class_alone() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    regions = RegionScores(boxes, torch.tensor([[0.9, 0.0], [0.3, 0.8], [0.0, 0.1]]), None)
    settings = dict(score_thr=0.05, nms=NMS, max_per_img=10, class_agnostic_nms=True)
    (found,) = ScoreEnsemble()([regions], torch.ones(2, dtype=torch.bool), 0, settings, [{}], rescale=False)
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.1]))


@pytest.mark.parametrize('nms', [NMS, None])
def test_ensemble__no_regions(nms: dict | None) -> None:
    empty = RegionScores(torch.zeros(0, 4), torch.zeros(0, 5), torch.zeros(0, 5))
    weights = dict(alpha=0.2, beta=0.4, temperature=0.01)
    settings = dict(score_thr=0.1, nms=nms, max_per_img=10, score_ensemble=weights)
    (found,) = ScoreEnsemble()([empty], torch.ones(5, dtype=torch.bool), 2, settings, [{}], rescale=False)
    assert found.bboxes.shape == (0, 4)


@pytest.mark.parametrize('counts', [(3, 0), (1, 2)])
def test_region_cosines__of_constant_regions(counts: tuple[int, int]) -> None:
    # A map that is constant in each image pools to that constant, whatever the box.
    features, classes = torch.randn(2, 4), torch.nn.functional.normalize(torch.randn(3, 4), dim=1)
    dense = features[:, :, None, None].expand(2, 4, 6, 8)
    boxes = [torch.tensor([[8.0, 8, 40, 30]]).repeat(count, 1) for count in counts]
    with torch.autocast('cpu', torch.bfloat16):
        found = region_cosines(dense, boxes, classes, (48, 64))
    for cosines, feature, count in zip(found, features, counts, strict=True):
        expected = cosine_similarity(feature[None, None], classes[None], dim=2).expand(count, 3)
        torch.testing.assert_close(cosines, expected)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(nms_pre=1000), 'model.test_cfg: nms_pre has no effect here; its fields are class_agnostic_nms, mask_thr'),
        (dict(max_cells=None), 'model.test_cfg: max_cells is missing'),
        (
            dict(score_ensemble=dict(alpha=0.2, bta=0.4)),
            "expected alpha, beta and temperature, got {'alpha': 0.2, 'bta",
        ),
        (dict(score_ensemble=dict(alpha=0.2, beta=1.4, temperature=0.1)), 'expected alpha and beta in 0..1'),
        (dict(score_ensemble=dict(alpha=0.2, beta=0.4, temperature=0.0)), 'a temperature above 0'),
    ],
)
def test_check_test_cfg__refuses(change: dict, message: str) -> None:
    settings = dict(max_cells=10, max_per_img=10, nms=None, mask_thr_binary=0.5, score_ensemble=None)
    check_test_cfg(settings, ['max_cells'], ['mask_thr_binary'])
    changed = {key: value for key, value in (settings | change).items() if key != 'max_cells' or value}
    with pytest.raises(UserError, match=re.escape(message)):
        check_test_cfg(changed, ['max_cells'], ['mask_thr_binary'])
