"""The loss on base classes, the boxes and the suppression, each against a plain computation."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from torchvision.ops import box_iou

from fgdet.models.roi_heads.text_bbox_head import TextBBoxHead
from tests.detector_builders import tiny_detector

TEST_CFG = ConfigDict(score_thr=0.1, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10)


def head(is_trained: tuple[bool, ...] = (True, False, True)) -> TextBBoxHead:
    box_head = tiny_detector().roi_head.bbox_head
    torch.manual_seed(1)
    box_head.set_classes(F.normalize(torch.randn(len(is_trained), 16), dim=1), torch.tensor(is_trained))
    return box_head


def losses(box_head: TextBBoxHead, logits: torch.Tensor, labels: list[int]) -> dict[str, torch.Tensor]:
    count = len(labels)
    targets = torch.zeros(count, 4)
    return box_head.loss(
        logits, torch.zeros(count, 4), torch.zeros(count, 5), torch.tensor(labels), torch.ones(count), targets, targets
    )


def test_loss__softmax_over_trained_classes_and_background() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    loss = losses(head(), logits, [0, 2, 3])['loss_cls']
    kept = logits[:, [0, 2, 3]]  # the class without boxes is the second
    torch.testing.assert_close(loss, F.cross_entropy(kept, torch.tensor([0, 1, 2])))
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[:, 1], torch.zeros(3))


def test_loss__refuses_a_label_of_a_novel_class() -> None:
    with pytest.raises(ValueError, match=r'training labels \[1\] are classes that are not in the base vocabulary'):
        losses(head(), torch.randn(3, 4), [0, 1, 3])


def test_loss__a_batch_of_background_alone_trains_all() -> None:
    box_head = head()
    cls_score, bbox_pred = box_head(torch.randn(2, 16, 5, 5))
    labels, zeros = torch.tensor([3, 3]), torch.zeros(2, 4)
    total = box_head.loss(cls_score, bbox_pred, torch.zeros(2, 5), labels, torch.ones(2), zeros, zeros)
    (total['loss_cls'] + total['loss_bbox']).backward()
    assert torch.isfinite(total['loss_cls'])
    assert all(parameter.grad is not None for parameter in box_head.parameters())


def test_forward__logits_for_every_class_and_one_box() -> None:
    cls_score, bbox_pred = head()(torch.randn(7, 16, 5, 5))
    assert cls_score.shape == (7, 4)
    assert bbox_pred.shape == (7, 4)


def test_decode__stays_inside_the_image() -> None:
    rois = torch.tensor([[0.0, 10.0, 10.0, 30.0, 20.0]])
    deltas = torch.tensor([[1.0, 0.0, 0.0, 0.0]])  # 0.1 of the width to the right
    (boxes,) = head().decode([rois], [deltas], [dict(img_shape=(16, 31))])
    torch.testing.assert_close(boxes, torch.tensor([[12.0, 10.0, 31.0, 16.0]]))


def test_predict__suppresses_within_a_class_only() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [30.0, 0.0, 40.0, 10.0]])
    scores = torch.tensor([[0.9, 0.05, 0.2], [0.8, 0.7, 0.05], [0.3, 0.0, 0.0]])
    (found,) = head().predict_by_scores([boxes], [scores], [{}], TEST_CFG)
    # Box 1 overlaps box 0 by 90 / 110: gone for class 0, kept for class 1.
    assert [round(value, 3) for value in found.scores.tolist()] == [0.9, 0.7, 0.3, 0.2]
    assert found.labels.tolist() == [0, 1, 0, 2]
    torch.testing.assert_close(found.bboxes, boxes[[0, 1, 2, 0]])
    assert box_iou(found.bboxes[[0]], boxes[[1]]).item() > 0.5


def test_predict__rescales_with_the_widths_factor_first() -> None:
    boxes, scores = torch.tensor([[10.0, 20.0, 30.0, 40.0]]), torch.tensor([[0.9, 0.0, 0.0]])
    (found,) = head().predict_by_scores([boxes], [scores], [dict(scale_factor=(2.0, 0.5))], TEST_CFG, rescale=True)
    torch.testing.assert_close(found.bboxes, torch.tensor([[5.0, 40.0, 15.0, 80.0]]))


def test_predict__nothing_above_the_threshold_and_no_boxes() -> None:
    low, none = torch.full((2, 3), 0.01), torch.zeros(0, 3)
    found = head().predict_by_scores([torch.rand(2, 4), torch.zeros(0, 4)], [low, none], [{}, {}], TEST_CFG)
    assert [(len(each), each.bboxes.shape[1]) for each in found] == [(0, 4), (0, 4)]
