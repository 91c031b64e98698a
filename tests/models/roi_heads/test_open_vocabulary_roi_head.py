"""The scores of the second stage against a loop over regions and classes, and its masks by hand."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import roi_align

from tests.detector_builders import BASE, NAMES, batch, tiny_detector
from tests.second_stage_builders import METAS, features, keeping_all, proposals


@torch.no_grad()
def test_predict__every_score_by_hand() -> None:
    head, x, found = keeping_all('fvit_tiny', alpha=0.3, beta=0.6), features(), proposals(3, 2)
    results = head.predict_bbox(x, METAS, found, head.test_cfg)
    classes, is_base = head.bbox_head.fc_cls.class_embeddings, [name in BASE for name in NAMES]
    for image, (result, each, meta) in enumerate(zip(results, found, METAS, strict=True)):
        rois = F.pad(each.bboxes, (1, 0), value=image)
        logits, deltas = head.bbox_head(head.bbox_roi_extractor(x[:3], rois))
        boxes = head.bbox_head.bbox_coder.decode(each.bboxes, deltas, max_shape=meta['img_shape'])
        # The dense map has one cell for 8 pixels.
        pooled = roi_align(x[3][image : image + 1], [boxes], 1, 1 / 8, sampling_ratio=-1, aligned=True)[..., 0, 0]
        assert len(result) == len(boxes) * 4
        for score, label, box in zip(result.scores, result.labels.tolist(), result.bboxes, strict=True):
            index = int((boxes - box).abs().sum(1).argmin())
            p = logits[index].exp()[label] / logits[index].exp().sum()  # the background is in the sum
            similarity = torch.stack([torch.cosine_similarity(pooled[index], each, dim=0) for each in classes])
            q = (similarity / 0.1).exp()[label] / (similarity / 0.1).exp().sum()
            weight = 0.3 if is_base[label] else 0.6
            torch.testing.assert_close(score, p ** (1 - weight) * q**weight, atol=1e-5, rtol=1e-4)


def detector_of_full_masks() -> Any:
    """Every mask has the logit 10 everywhere, so it is its box."""
    detector = tiny_detector(form='fvit_mask_tiny')
    torch.nn.init.zeros_(detector.roi_head.mask_head.conv_logits.weight)
    torch.nn.init.constant_(detector.roi_head.mask_head.conv_logits.bias, 10.0)
    return detector


@pytest.mark.parametrize('names', [NAMES, ['owl'], ['owl', 'tree', 'a b', 'c', 'd', 'e', 'f']])
def test_masks__boxes_in_the_original_image(names: list[str]) -> None:
    detector = detector_of_full_masks()
    detector.set_vocabulary(names)
    data = batch([])
    data['data_samples'][0].set_metainfo(dict(ori_shape=(128, 32), scale_factor=(2.0, 0.5)))
    instances = detector.test_step(data)[0].pred_instances
    assert len(instances) and instances.masks.dtype == torch.bool

    def inside(size: int, start: Tensor, end: Tensor) -> Tensor:
        """Linear from 0 to 1 over one of 14 cells around an edge of the box, at the centres of pixels."""
        centres = torch.arange(size) + 0.5
        return (torch.minimum(centres - start, end - centres) / (end - start) * 14 + 0.5).clamp(0, 1)

    for mask, (left, top, right, bottom) in zip(instances.masks, instances.bboxes, strict=True):
        expected = inside(128, top, bottom)[:, None] * inside(32, left, right) * torch.tensor(10.0).sigmoid()
        assert torch.equal(mask, expected >= 0.5)


@torch.no_grad()
def test_masks__none_without_detections() -> None:
    detector = detector_of_full_masks()
    detector.roi_head.test_cfg.score_thr = 1.0
    instances = detector.test_step(batch([]))[0].pred_instances
    assert instances.masks.shape == (0, 64, 64)


def test_mask_loss__of_boxes_that_are_filled() -> None:
    detector = detector_of_full_masks().train()
    box = [8.0, 8.0, 40.0, 40.0]
    data = detector.data_preprocessor(batch([box]), training=True)
    detector.use(detector.training_vocabulary)
    pyramid = detector.extract_feat(data['inputs'])
    proposals = [InstanceData(bboxes=torch.tensor([box, [10.0, 10, 30, 40], [50, 50, 60, 60]]))]
    losses = detector.roi_head.loss(pyramid, proposals, data['data_samples'])
    # Two proposals and the box itself overlap the object, by 1 and 0.59, and lie in it; the third has no mask.
    assert losses['loss_mask'].item() == pytest.approx(4.54e-5, rel=0.01)  # log(1 + exp(-10))
