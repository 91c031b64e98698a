"""Suppression of pairs of a box and a class against mmdet's and hand-worked values."""

from typing import Any

import pytest
import torch
from mmdet.models.layers import multiclass_nms
from torch import Tensor

from fgdet.models.post_processing.class_suppression import suppress

NMS = dict(type='nms', iou_threshold=0.5)


def mmdet_detections(
    boxes: Tensor, scores: Tensor, score_thr: float, nms: dict[str, Any], max_num: int
) -> tuple[Tensor, Tensor, Tensor]:
    with_background = torch.cat([scores, torch.zeros(len(scores), 1)], dim=1)
    found, labels = multiclass_nms(boxes, with_background, score_thr, nms, max_num)
    return found[:, :4], found[:, 4], labels


@pytest.mark.parametrize('nms', [NMS, dict(type='soft_nms', iou_threshold=0.4, min_score=0.3)])
@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('max_num', [2, 50, -1])
def test_suppress__as_mmdet(nms: dict[str, Any], class_agnostic: bool, max_num: int) -> None:
    # 200 boxes around one place: of the best 20 pairs nearly all go, and for 2 detections more must be looked at.
    generator = torch.Generator().manual_seed(0)
    crowd = torch.tensor([20.0, 20, 50, 50]) + torch.rand(200, 4, generator=generator) * 8
    apart = torch.rand(40, 2, 2, generator=generator).mul(200).sort(dim=1).values.flatten(1)
    boxes, scores = torch.cat([crowd, apart]), torch.rand(240, 3, generator=generator)
    scores[200:] *= 0.5
    theirs = mmdet_detections(boxes, scores, 0.1, dict(nms, class_agnostic=class_agnostic), max_num)
    torch.testing.assert_close(suppress(boxes, scores, 0.1, nms, max_num, class_agnostic), theirs)
    torch.testing.assert_close(suppress(boxes, scores, 0.1, dict(nms, class_agnostic=class_agnostic), max_num), theirs)


def test_suppress__twenty_thousand_classes_are_held_apart() -> None:
    # The last class is moved by 2e8, where single precision turns boxes of 10 pixels into points.
    boxes = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [0, 0, 10, 9], [9999, 0, 10000, 10]])
    scores = torch.zeros(4, 20_000)
    scores[:3, -1] = torch.tensor([0.9, 0.8, 0.7])
    scores[0, -2] = 0.6
    found = suppress(boxes, scores, 0.01, NMS, 100)
    torch.testing.assert_close(found[1], torch.tensor([0.9, 0.8, 0.6]))
    assert found[2].tolist() == [19_999, 19_999, 19_998]


def test_suppress__without_it_and_without_boxes() -> None:
    boxes, scores = torch.rand(2, 4), torch.tensor([[0.9, 0.0], [0.3, 0.8]])
    found = suppress(boxes, scores, 0.1, None, 2)
    torch.testing.assert_close(found, (boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 1])))
    for nms in (NMS, None, dict(type='soft_nms', iou_threshold=0.4)):
        for nothing in (suppress(boxes[:0], scores[:0], 0.1, nms, 5), suppress(boxes, scores, 0.95, nms, 5)):
            assert [tuple(each.shape) for each in nothing] == [(0, 4), (0,), (0,)]
