"""The joined score of three stages by hand, and what each stage learns from."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import roi_align

from tests.detector_builders import BASE, NAMES, batch, tiny_detector
from tests.second_stage_builders import METAS, features, keeping_all, proposals


@torch.no_grad()
def test_predict__dense_map_at_the_boxes_of_the_last_stage() -> None:
    head, x, found = keeping_all('fvit_cascade_tiny', alpha=0.3, beta=0.6), features(), proposals(2, 3)
    result = head.predict_bbox(x, METAS, found, head.test_cfg)[1]
    boxes, total = found[1].bboxes, torch.zeros(3, 5)
    for stage, box_head in enumerate(head.bbox_head):
        rois = F.pad(boxes, (1, 0), value=1)
        logits, deltas = box_head(head.bbox_roi_extractor[stage](x[:3], rois))
        boxes = box_head.bbox_coder.decode(boxes, deltas, max_shape=METAS[1]['img_shape'])
        total += logits
    pooled = roi_align(x[3][1:], [boxes], 1, 1 / 8, sampling_ratio=-1, aligned=True)[..., 0, 0]
    q = (F.normalize(pooled, dim=1) @ box_head.class_embeddings.T / 0.1).softmax(1)
    p = (total / 3).softmax(1)[:, :-1]
    weight = torch.tensor([0.3 if name in BASE else 0.6 for name in NAMES])
    expected = (p ** (1 - weight) * q**weight).flatten().sort(descending=True)
    torch.testing.assert_close(result.scores, expected.values, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.bboxes, boxes[expected.indices // 4], atol=1e-3, rtol=1e-5)


def test_loss__of_each_stage_with_its_weight() -> None:
    detector = tiny_detector(form='fvit_cascade_tiny').train()
    for head in detector.heads():
        torch.nn.init.zeros_(head.fc_cls.projection.weight)
        torch.nn.init.zeros_(head.fc_cls.projection.bias)
    data = detector.data_preprocessor(batch([[8.0, 8.0, 40.0, 40.0]], [], labels=[[3], []]), training=True)
    losses = detector(**data, mode='loss')
    # The cosines of a projection of 0 are 0: two base classes and the background are equally likely.
    for stage, weight in enumerate((1.0, 0.5, 0.25)):
        assert losses[f's{stage}.loss_cls'].item() == pytest.approx(weight * torch.tensor(3.0).log().item(), rel=1e-5)
