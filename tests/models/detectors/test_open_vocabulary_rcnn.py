"""The whole detector: what learns, what a vocabulary changes, what a checkpoint holds."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torchvision.ops import box_iou

from fgdet.models.detectors.open_vocabulary_rcnn import OpenVocabularyRCNN
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.detector_builders import CONFIGS, NAMES, batch, detector_config, tiny_detector

BOXES = [[[8.0, 8.0, 40.0, 40.0]], [[20.0, 4.0, 60.0, 30.0], [2.0, 30.0, 30.0, 62.0]]]
LABELS = [[0], [3, 0]]


def keep_all(detector: OpenVocabularyRCNN) -> OpenVocabularyRCNN:
    detector.roi_head.test_cfg.update(score_thr=-1.0, max_per_img=2000, nms=dict(type='nms', iou_threshold=1.0))
    return detector


def loss(detector: OpenVocabularyRCNN, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)  # the sampling of regions
    data = detector.data_preprocessor(batch(*BOXES, labels=LABELS), training=True)
    return detector.parse_losses(detector(**data, mode='loss'))[1]


def found(detector: OpenVocabularyRCNN) -> dict[str, torch.Tensor]:
    """Scores by class name, over the same boxes in the same order."""
    instances = detector.test_step(batch([]))[0].pred_instances
    order = instances.bboxes.sum(1).argsort(stable=True)
    labels, scores = instances.labels[order], instances.scores[order]
    return {name: scores[labels == i] for i, name in enumerate(detector.vocabulary.names)}


def test_loss__every_part_but_the_towers_learns() -> None:
    detector = tiny_detector().train()
    losses = loss(detector)
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'} < set(losses)
    losses['loss'].backward()
    towers = ('backbone.', 'class_embeddings.')
    for name, parameter in detector.named_parameters():
        assert (parameter.grad is None) == name.startswith(towers), name


def test_loss__an_image_without_boxes() -> None:
    detector = tiny_detector().train()
    data = detector.data_preprocessor(batch([], []), training=True)
    total, _ = detector.parse_losses(detector(**data, mode='loss'))
    total.backward()
    assert torch.isfinite(total)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast__trains_and_predicts(dtype: torch.dtype) -> None:
    detector = tiny_detector().train()
    with torch.autocast('cpu', dtype=dtype):
        losses = loss(detector)
        instances = keep_all(detector.eval()).test_step(batch([]))[0].pred_instances
    losses['loss'].backward()
    torch.testing.assert_close(losses['loss'], loss(detector.train())['loss'], rtol=0.05, atol=0.05)
    assert len(instances) and torch.isfinite(instances.scores).all() and instances.scores.max() <= 1


def test_loss__refuses_boxes_of_novel_classes() -> None:
    detector = tiny_detector().train()
    data = detector.data_preprocessor(batch(*BOXES, labels=[[1], [3, 0]]), training=True)
    with pytest.raises(ValueError, match=r'labels \[1\] are classes that are not in the base vocabulary'):
        detector(**data, mode='loss')


def test_set_vocabulary__does_not_change_the_training() -> None:
    detector = tiny_detector().train()
    before = loss(detector)['loss']
    detector.set_vocabulary(['owl'])
    detector.test_step(batch([]))
    assert torch.equal(loss(detector.train())['loss'], before)


def test_set_vocabulary__other_order_same_scores() -> None:
    detector = keep_all(tiny_detector())
    before = found(detector)
    detector.set_vocabulary(NAMES[::-1])
    after = found(detector)
    assert detector.vocabulary.names == tuple(NAMES[::-1])
    for name in NAMES:
        torch.testing.assert_close(after[name], before[name])


def test_set_vocabulary__names_without_boxes_are_novel() -> None:
    detector = tiny_detector()
    detector.set_vocabulary(['owl', 'cat', 'red mug', 'tree'])
    detector.test_step(batch([]))
    assert detector.roi_head.bbox_head.is_trained.tolist() == [False, True, False, True]


def test_set_vocabulary__keeps_templates_and_synonyms_of_training() -> None:
    config = detector_config().model
    config.vocabulary.update(templates=['one {}'], synonyms=dict(cat=['kitten']))
    init_default_scope('mmdet')
    detector = MODELS.build(config)
    detector.set_vocabulary(['owl', 'cat'])
    assert detector.vocabulary.prompts(1) == ['one cat', 'one kitten']
    detector.set_vocabulary(Vocabulary(['cat'], templates=['two {}']))
    assert detector.vocabulary.prompts(0) == ['two cat', 'two kitten']
    with pytest.raises(UserError, match='empty'):
        detector.set_vocabulary([])


def test_load_state_dict__replaces_the_class_embeddings_too() -> None:
    first, second = keep_all(tiny_detector(seed=0)), keep_all(tiny_detector(seed=1))
    expected = found(second)
    assert not torch.allclose(found(first)['cat'], expected['cat'])
    first.load_state_dict(second.state_dict())  # strict: the checkpoint holds both towers
    for name in NAMES:
        torch.testing.assert_close(found(first)[name], expected[name])


def test_init__refuses_a_vocabulary_without_base() -> None:
    config = detector_config().model
    config.vocabulary.base = []
    init_default_scope('mmdet')
    with pytest.raises(UserError, match='vocabulary base: no names'):
        MODELS.build(config)


def test_init__leaves_its_config_as_it_was() -> None:
    config = detector_config().model
    before = config.to_dict()
    init_default_scope('mmdet')
    MODELS.build(config)
    assert config.to_dict() == before


def test_config_b16__builds_with_matching_parts() -> None:
    config = Config.fromfile(CONFIGS / 'ov_coco' / 'fvit_vit_b16_640.py').model
    init_default_scope('mmdet')
    with torch.device('meta'):
        detector = MODELS.build(config)
        taps = [torch.empty(1, 768, 40, 40) for _ in range(4)]
        levels = detector.neck(taps)
        logits, _ = detector.rpn_head(levels)
    strides = [640 // level.shape[-1] for level in levels]
    assert strides == config.rpn_head.anchor_generator.strides
    assert [each.shape[1] for each in logits] == [3] * 5
    assert detector.backbone.visual.num_layers == 12


@pytest.mark.slow
def test_training__finds_the_boxes_it_was_shown() -> None:
    detector = tiny_detector(seed=2).train()
    detector.roi_head.test_cfg.score_ensemble.update(alpha=0.0, beta=0.0)  # the random tower knows nothing
    optimizer = OptimWrapper(torch.optim.AdamW([p for p in detector.parameters() if p.requires_grad], lr=5e-3))
    history, steps = [], 300
    for step in range(steps):
        optimizer.param_groups[0]['lr'] = 5e-3 * (1 - step / steps)  # it settles, however the sums are rounded
        history.append(detector.train_step(batch(*BOXES, labels=LABELS), optimizer)['loss'].item())
    assert history[-1] < 0.2 * history[0]
    detector.set_vocabulary(['cat', 'tree'])  # a random text tower makes nothing of names without boxes
    results = detector.eval().test_step(batch(*BOXES))
    for result, boxes, labels in zip(results, BOXES, [[0], [1, 0]], strict=True):
        instances = result.pred_instances[result.pred_instances.scores > 0.5]
        assert sorted(instances.labels.tolist()) == sorted(labels)
        for box, label in zip(boxes, labels, strict=True):
            (index,) = torch.where(instances.labels == label)[0].tolist()
            assert box_iou(instances.bboxes[[index]], torch.tensor([box])).item() > 0.7
