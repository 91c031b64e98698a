"""The scores of the second stage against a loop over regions and classes."""

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torchvision.ops import roi_align

from fgdet.models.roi_heads.open_vocabulary_roi_head import OpenVocabularyRoIHead
from tests.detector_builders import tiny_detector

METAS = [dict(img_shape=(48, 60), batch_input_shape=(48, 64)), dict(img_shape=(40, 64), batch_input_shape=(48, 64))]


def roi_head(alpha: float = 0.3, beta: float = 0.6) -> OpenVocabularyRoIHead:
    """Keeps every pair of a region and a class."""
    detector = tiny_detector()
    detector.use(detector.vocabulary)
    detector.roi_head.test_cfg.update(score_thr=-1.0, max_per_img=1000, nms=dict(type='nms', iou_threshold=1.0))
    detector.roi_head.test_cfg.score_ensemble = dict(alpha=alpha, beta=beta, temperature=0.1)
    return detector.roi_head


def features() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    pyramid = [torch.randn(2, 16, 48 // stride, 64 // stride) for stride in (4, 8, 16)]
    return (*pyramid, torch.randn(2, 16, 6, 8))


def proposals(*counts: int) -> list[InstanceData]:
    torch.manual_seed(1)
    corners = [torch.rand(count, 2) * 30 for count in counts]
    return [InstanceData(bboxes=torch.cat([each, each + 4 + torch.rand(each.shape) * 20], 1)) for each in corners]


@torch.no_grad()
def test_predict__every_score_by_hand() -> None:
    head, x, found = roi_head(), features(), proposals(3, 2)
    results = head.predict_bbox(x, METAS, found, head.test_cfg)
    classes, is_base = head.bbox_head.fc_cls.class_embeddings, [True, False, False, True]
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


@torch.no_grad()
def test_predict__an_image_does_not_depend_on_the_others() -> None:
    head, x, found = roi_head(), features(), proposals(3, 2)
    together = head.predict_bbox(x, METAS, found, head.test_cfg)[1]
    alone = head.predict_bbox(tuple(level[1:] for level in x), METAS[1:], found[1:], head.test_cfg)[0]
    torch.testing.assert_close(alone.scores, together.scores)
    torch.testing.assert_close(alone.bboxes, together.bboxes)


@torch.no_grad()
def test_predict__images_without_proposals() -> None:
    head = roi_head()
    mixed = head.predict_bbox(features(), METAS, proposals(0, 2), head.test_cfg)
    assert [len(each) for each in mixed] == [0, 8]
    none = head.predict_bbox(features(), METAS, proposals(0, 0), head.test_cfg)
    assert [len(each) for each in none] == [0, 0]
