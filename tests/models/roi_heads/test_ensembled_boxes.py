"""What both second stages have in common: mmdet's boxes, the dense map, images without proposals."""

from typing import Any

import pytest
import torch
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead

from fgdet.registry import MODELS
from tests.detector_builders import detector_config
from tests.second_stage_builders import FORMS, METAS, features, keeping_all, proposals, second_stage


@torch.no_grad()
@pytest.mark.parametrize('weights', [None, dict(alpha=0.0, beta=0.0, temperature=0.01)])
@pytest.mark.parametrize(('form', 'theirs'), [*zip(FORMS, (StandardRoIHead, CascadeRoIHead), strict=True)])
def test_predict__mmdets_where_the_dense_map_has_no_weight(form: str, theirs: Any, weights: dict | None) -> None:
    nms = dict(type='nms', iou_threshold=0.5)
    head = second_stage(form, score_thr=0.2, nms=nms, max_per_img=20, score_ensemble=weights)
    expected = theirs.predict_bbox(head, features()[:3], METAS, proposals(30, 20), head.test_cfg, rescale=True)
    found = head.predict_bbox(features(), METAS, proposals(30, 20), head.test_cfg, rescale=True)
    for ours, other in zip(found, expected, strict=True):
        assert 4 < len(ours) <= 20
        assert torch.equal(ours.labels, other.labels)
        torch.testing.assert_close(ours.scores, other.scores)
        torch.testing.assert_close(ours.bboxes, other.bboxes, atol=1e-4, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('form', FORMS)
def test_predict__an_image_does_not_depend_on_the_others(form: str) -> None:
    head, x, found = keeping_all(form, 0.3, 0.6), features(), proposals(3, 2)
    together = head.predict_bbox(x, METAS, found, head.test_cfg)[1]
    alone = head.predict_bbox(tuple(level[1:] for level in x), METAS[1:], found[1:], head.test_cfg)[0]
    torch.testing.assert_close(alone.scores, together.scores)
    torch.testing.assert_close(alone.bboxes, together.bboxes)


@torch.no_grad()
@pytest.mark.parametrize('form', FORMS)
def test_predict__images_without_proposals(form: str) -> None:
    head = keeping_all(form, 0.3, 0.6)
    mixed = head.predict_bbox(features(), METAS, proposals(0, 2), head.test_cfg)
    assert [len(each) for each in mixed] == [0, 8]
    none = head.predict_bbox(features(), METAS, proposals(0, 0), head.test_cfg)
    assert [len(each) for each in none] == [0, 0]


def test_masks__of_a_class_each_are_refused() -> None:
    config = detector_config('fvit_mask_tiny').model
    config.roi_head.mask_head.class_agnostic = False
    with pytest.raises(ValueError, match='mask_head class_agnostic: expected True, got False'):
        MODELS.build(config)
