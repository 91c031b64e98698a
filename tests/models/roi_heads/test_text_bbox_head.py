"""The loss on base classes, the scores and the boxes, each against a plain computation."""

import pytest
import torch
import torch.nn.functional as F

from fgdet.models.roi_heads.text_bbox_head import TextBBoxHead
from tests.detector_builders import tiny_detector


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
