"""The loss on base classes, the scores and the boxes, each against a plain computation."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torchvision.ops import sigmoid_focal_loss

from fgdet.models.roi_heads.text_bbox_head import TextBBoxHead
from fgdet.registry import MODELS
from tests.detector_builders import detector_config

SOFTMAX = dict(type='fgdet.TextClassifier', embed_dim=16)
SIGMOID = dict(SOFTMAX, background=False, bias=-2.0)


def head(is_trained: tuple[bool, ...] = (True, False, True), **options: Any) -> TextBBoxHead:
    """The head of the tiny detector with other ``options``."""
    config = detector_config().model.roi_head.bbox_head
    for key, value in options.items():
        config[key] = value
    init_default_scope('mmdet')
    torch.manual_seed(0)
    box_head = MODELS.build(config)
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


@pytest.mark.parametrize('gamma', [0.0, 2.0])
def test_loss__sigmoids_of_trained_classes(gamma: float) -> None:
    loss_cls: dict[str, Any] = dict(type='CrossEntropyLoss', use_sigmoid=True)
    if gamma:
        loss_cls = dict(type='FocalLoss', use_sigmoid=True, gamma=gamma, alpha=0.25)
    logits = torch.randn(4, 3)
    loss = losses(head(loss_cls=loss_cls, classifier=SIGMOID), logits, [0, 2, 3, 3])['loss_cls']
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    alpha = 0.25 if gamma else -1.0
    expected = sigmoid_focal_loss(logits[:, [0, 2]], targets, alpha=alpha, gamma=gamma, reduction='sum') / 4
    torch.testing.assert_close(loss, expected)


def test_loss__seesaw_tells_objects_apart_by_the_background() -> None:
    config = dict(type='SeesawLoss', num_classes=2)
    logits = torch.randn(4, 4)
    ours, plain = losses(head(loss_cls=config), logits, [0, 2, 3, 0]), MODELS.build(config)
    labels, columns = torch.tensor([0, 1, 2, 0]), torch.cat([logits[:, [0, 2]], torch.zeros(4, 1), logits[:, 3:]], 1)
    theirs = plain(columns, labels, torch.ones(4), avg_factor=4.0)
    assert {'loss_cls_objectness', 'loss_cls_classes', 'acc_objectness'} <= set(ours)
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value)
    # At test any number of classes share what is an object.
    scores = head(loss_cls=config).probabilities(logits)
    objectness = 1 / (1 + logits[:, 3].exp())
    torch.testing.assert_close(scores, logits[:, :3].softmax(1) * objectness[:, None])


def test_loss__federated_and_weighted_by_the_base_names() -> None:
    counts, logits = dict(cat=9, tree=1), torch.randn(3, 4)
    weighted = head(loss_cls=dict(type='fgdet.FrequencyWeightedLoss', counts=counts))
    plain = F.cross_entropy(logits[:, [0, 2, 3]], torch.tensor([0, 1, 2]), reduction='none')
    expected = (plain * torch.tensor([0.5, 1.5, 1.0])).mean()  # 1 / 3 and 1, whose mean is 2 / 3
    torch.testing.assert_close(losses(weighted, logits, [0, 2, 3])['loss_cls'], expected)
    federated = head(loss_cls=dict(type='fgdet.FederatedLoss', counts=counts, num_sampled=1), classifier=SIGMOID)
    loss = losses(federated, logits[:, :3], [2, 3, 3])['loss_cls']
    expected = F.binary_cross_entropy_with_logits(logits[:, 2], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(loss, expected)


def test_probabilities__of_a_sigmoid_and_of_one_class() -> None:
    loss_cls = dict(type='CrossEntropyLoss', use_sigmoid=True)
    logits = torch.randn(2, 3)
    torch.testing.assert_close(head(loss_cls=loss_cls, classifier=SIGMOID).probabilities(logits), logits.sigmoid())
    one = head((True,))
    torch.testing.assert_close(one.probabilities(logits[:, :2])[:, 0], (logits[:, 0] - logits[:, 1]).sigmoid())


@pytest.mark.parametrize(('use_sigmoid', 'classifier'), [(True, SOFTMAX), (False, SIGMOID)])
def test_head__refuses_a_background_that_does_not_fit_the_loss(use_sigmoid: bool, classifier: dict) -> None:
    loss_cls = dict(type='CrossEntropyLoss', use_sigmoid=use_sigmoid)
    expected = f'classifier background: expected {not use_sigmoid} with the (sigmoid|softmax) of loss_cls CrossEntropy'
    with pytest.raises(ValueError, match=expected):
        head(loss_cls=loss_cls, classifier=classifier)


def test_linear_classifier__by_config_never_names_a_class_without_boxes() -> None:
    box_head = head(classifier=dict(type='fgdet.LinearClassifier', num_classes=3))
    cls_score, _ = box_head(torch.randn(5, 16, 5, 5))
    assert torch.equal(box_head.probabilities(cls_score)[:, 1], torch.zeros(5))
    losses(box_head, cls_score, [0, 2, 3, 0, 3])['loss_cls'].backward()
    gradient = box_head.fc_cls.linear.weight.grad.abs().sum(1) > 0
    assert gradient.tolist() == [True, False, True, True]


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
