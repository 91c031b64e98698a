"""The two-stage detector with masks, with stages, and with other necks, assigners, samplers and losses of mmdet's."""

from collections.abc import Callable

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fgdet.models.detectors.open_vocabulary_rcnn import OpenVocabularyRCNN
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from tests.detector_builders import BASE, batch, detector_config, tiny_detector

BOXES = [[[8.0, 8.0, 40.0, 40.0]], [[20.0, 4.0, 60.0, 30.0], [2.0, 30.0, 30.0, 62.0]]]
LABELS = [[0], [3, 0]]
FORMS = ['fvit_mask_tiny', 'fvit_cascade_tiny', 'fvit_cascade_mask']


def build(form: str) -> OpenVocabularyRCNN:
    """One of the shipped forms, or a cascade with a mask head in each stage."""
    if form != 'fvit_cascade_mask':
        return tiny_detector(form=form)
    cascade, masked = detector_config('fvit_cascade_tiny').model, detector_config('fvit_mask_tiny').model
    for key in ('mask_head', 'mask_roi_extractor'):
        cascade.roi_head[key] = masked.roi_head[key]
    for stage in cascade.train_cfg.rcnn:
        stage.mask_size = 14
    cascade.test_cfg.rcnn.mask_thr_binary = 0.5
    init_default_scope('mmdet')
    torch.manual_seed(0)
    return MODELS.build(cascade).eval()


def losses(detector: OpenVocabularyRCNN, *boxes: list, labels: list | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)  # the sampling of regions
    data = detector.data_preprocessor(batch(*boxes, labels=labels), training=True)
    return detector.parse_losses(detector(**data, mode='loss'))[1]


@pytest.mark.parametrize('form', FORMS)
def test_loss__every_part_but_the_towers_learns(form: str) -> None:
    detector = build(form).train()
    found = losses(detector, *BOXES, labels=LABELS)
    assert any('mask' in key for key in found) == ('mask' in form)
    found['loss'].backward()
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    with torch.autocast('cpu', dtype=torch.bfloat16):
        halved = losses(detector, *BOXES, labels=LABELS)
    torch.testing.assert_close(halved['loss'], found['loss'], rtol=0.1, atol=0.05)


@pytest.mark.parametrize('form', FORMS)
def test_loss__images_without_boxes(form: str) -> None:
    detector = build(form).train()
    total = losses(detector, [], [])['loss']
    total.backward()
    assert torch.isfinite(total)


@pytest.mark.parametrize('form', FORMS)
def test_predict__negatives_one_name_and_autocast(form: str) -> None:
    detector = build(form)
    detector.roi_head.test_cfg.update(score_thr=-1.0)
    detector.set_vocabulary(Vocabulary(['owl', 'cat'], negatives=['dog', 'lamp', 'red mug']))
    instances = detector.test_step(batch([]))[0].pred_instances
    assert set(instances.labels.tolist()) == {0, 1}
    assert [len(head.class_embeddings) for head in detector.heads()] == [5] * len(detector.heads())
    detector.set_vocabulary(['owl'])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        instances = detector.test_step(batch([]))[0].pred_instances
    assert set(instances.labels.tolist()) == {0} and torch.isfinite(instances.scores).all()
    assert ('masks' in instances) == ('mask' in form)
    if 'mask' in form:
        assert instances.masks.shape == (len(instances), 64, 64) and instances.masks.dtype == torch.bool


def balanced_samples(config: Config) -> None:
    """Another pyramid, a loss of IoU on boxes, focal loss, two kinds of balanced samples."""
    rcnn, head = config.train_cfg.rcnn, config.roi_head.bbox_head
    config.neck[1].type = 'PAFPN'
    head.update(reg_decoded_bbox=True, loss_bbox=dict(type='GIoULoss', loss_weight=2.0))
    head.loss_cls = dict(type='FocalLoss', use_sigmoid=True)
    head.classifier.update(background=False, bias=-4.6)
    positive, negative = dict(type='InstanceBalancedPosSampler'), dict(type='IoUBalancedNegSampler')
    rcnn.sampler = dict(type='CombinedSampler', num=32, pos_fraction=0.5, pos_sampler=positive, neg_sampler=negative)


def hard_examples(config: Config) -> None:
    """The examples with the highest loss, and low-quality matches; a third neck; a balanced loss of boxes."""
    rcnn, head = config.train_cfg.rcnn, config.roi_head.bbox_head
    config.neck.append(dict(type='BFP', in_channels=16, num_levels=3, refine_level=1, refine_type='non_local'))
    head.loss_bbox = dict(type='BalancedL1Loss')
    head.loss_cls = dict(type='CrossEntropyLoss', use_sigmoid=False)
    rcnn.assigner.update(match_low_quality=True, min_pos_iou=0.1)
    rcnn.sampler = dict(type='OHEMSampler', num=16, pos_fraction=0.5)


def centre_regions(config: Config) -> None:
    """Anchors by where they lie in a box, all proposals without sampling, seesaw loss."""
    rpn, rcnn = config.train_cfg.rpn, config.train_cfg.rcnn
    rpn.assigner = dict(type='CenterRegionAssigner', pos_scale=0.4, neg_scale=0.6, min_pos_iof=0.01)
    rcnn.assigner.iou_calculator = dict(type='BboxOverlaps2D_GLIP')
    rcnn.sampler = dict(type='PseudoSampler')
    config.roi_head.bbox_head.loss_cls = dict(type='SeesawLoss', num_classes=len(BASE))


@pytest.mark.parametrize('change', [balanced_samples, hard_examples, centre_regions])
def test_parts__of_mmdet_by_config(change: Callable[[Config], None]) -> None:
    config = detector_config().model
    change(config)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    detector = MODELS.build(config)
    total = losses(detector.train(), *BOXES, labels=LABELS)
    total['loss'].backward()
    assert all(torch.isfinite(value) for value in total.values())
    gradient = detector.roi_head.bbox_head.fc_cls.projection.weight.grad
    assert gradient.abs().sum() > 0
    instances = detector.eval().test_step(batch([]))[0].pred_instances
    assert torch.isfinite(instances.scores).all() and instances.scores.max() <= 1
