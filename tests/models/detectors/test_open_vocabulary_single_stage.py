"""The whole one-stage detector: what learns, what a vocabulary changes, what a checkpoint holds."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torchvision.ops import box_iou

from fgdet.models.detectors.open_vocabulary_single_stage import OpenVocabularySingleStage
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from tests.detector_builders import BASE, CONFIGS, NAMES, NOVEL, batch, one_stage_config

BOXES = [[[8.0, 8.0, 40.0, 40.0]], [[20.0, 4.0, 60.0, 30.0], [2.0, 30.0, 30.0, 62.0]]]
LABELS = [[0], [3, 0]]
TEMPLATES = ['a photo of a {}.']


def config() -> Config:
    return one_stage_config().model


def detector(seed: int = 0, keep_all: bool = False, model: Config | None = None) -> OpenVocabularySingleStage:
    init_default_scope('mmdet')
    torch.manual_seed(seed)
    made = MODELS.build(model or config())
    if keep_all:
        made.bbox_head.test_cfg.update(score_thr=-1.0, max_per_img=4000, nms=None, max_cells=1000)
    return made.eval()


def loss(model: OpenVocabularySingleStage) -> dict[str, torch.Tensor]:
    data = model.data_preprocessor(batch(*BOXES, labels=LABELS), training=True)
    return model.parse_losses(model(**data, mode='loss'))[1]


def found(model: OpenVocabularySingleStage) -> dict[str, torch.Tensor]:
    """Scores by class name, over the same boxes in the same order."""
    instances = model.test_step(batch([]))[0].pred_instances
    order = instances.bboxes.sum(1).argsort(stable=True)
    labels, scores = instances.labels[order], instances.scores[order]
    return {name: scores[labels == i] for i, name in enumerate(model.vocabulary.names)}


def test_loss__every_part_but_the_towers_learns() -> None:
    model = detector().train()
    losses = loss(model)
    assert {'loss_cls', 'loss_bbox', 'loss_centerness'} < set(losses)
    losses['loss'].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith(('backbone.', 'class_embeddings.')), name


def test_loss__an_image_without_boxes() -> None:
    model = detector().train()
    data = model.data_preprocessor(batch([], []), training=True)
    total, _ = model.parse_losses(model(**data, mode='loss'))
    total.backward()
    assert torch.isfinite(total) and total > 0


def test_loss__refuses_boxes_of_novel_classes() -> None:
    model = detector().train()
    data = model.data_preprocessor(batch(*BOXES, labels=[[1], [3, 0]]), training=True)
    with pytest.raises(ValueError, match=r'labels \[1\] are classes that are not in the base vocabulary'):
        model(**data, mode='loss')


def test_autocast__trains_and_predicts_in_bfloat16() -> None:
    model = detector(keep_all=True).train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = loss(model)
        half = found(model.eval())
    losses['loss'].backward()
    torch.testing.assert_close(losses['loss'], loss(model.train())['loss'], rtol=0.05, atol=0.05)
    for name, scores in found(model.eval()).items():
        torch.testing.assert_close(half[name].sort().values, scores.sort().values, rtol=0.1, atol=0.01)


def test_set_vocabulary__other_order_same_scores_and_the_same_training() -> None:
    model = detector(keep_all=True)
    before, loss_before = found(model), loss(model.train())['loss']
    model.set_vocabulary(NAMES[::-1])
    after = found(model.eval())
    assert model.vocabulary.names == tuple(NAMES[::-1])
    for name in NAMES:
        torch.testing.assert_close(after[name], before[name])
    model.set_vocabulary(['owl', 'cat'])
    model.test_step(batch([]))
    assert model.bbox_head.is_trained.tolist() == [False, True]
    assert torch.equal(loss(model.train())['loss'], loss_before)


def test_set_vocabulary__negative_prompts_compete_and_are_not_reported() -> None:
    model = detector(keep_all=True)
    model.set_vocabulary(Vocabulary(['cat', 'dog', 'owl', 'bear'], templates=TEMPLATES))
    all_scores = torch.stack(list(found(model).values()))  # (4, cells)
    names, rivals = all_scores[:2], all_scores[2:].amax(dim=0)
    model.set_vocabulary(Vocabulary(['cat', 'dog'], templates=TEMPLATES, negatives=['owl', 'bear']))
    instances = model.test_step(batch([]))[0].pred_instances
    assert set(instances.labels.tolist()) == {0, 1}
    expected = names * (names >= rivals)
    assert 0 < (expected > 0).sum() < expected.numel()
    torch.testing.assert_close(torch.stack(list(found(model).values())), expected)


def test_load_state_dict__replaces_the_class_embeddings_too() -> None:
    first, second = detector(0, keep_all=True), detector(1, keep_all=True)
    expected = found(second)
    assert not torch.allclose(found(first)['cat'], expected['cat'])
    first.load_state_dict(second.state_dict())  # strict: the checkpoint holds both towers
    for name in NAMES:
        torch.testing.assert_close(found(first)[name], expected[name])


def test_linear_classifier__reports_base_names_only() -> None:
    model_config = config()
    model_config.bbox_head.classifier = dict(
        type='fgdet.LinearClassifier', num_classes=len(NAMES), background=False, bias=-2.0
    )
    model = detector(keep_all=True, model=model_config)
    losses = loss(model.train())
    losses['loss'].backward()
    assert model.bbox_head.atss_cls.linear.weight.grad[[0, 3]].any(dim=1).all()
    scores = found(model.eval())
    assert all(scores[name].max() > 0 for name in BASE) and not any(scores[name].any() for name in NOVEL)


def test_init__leaves_its_config_as_it_was() -> None:
    model_config = config()
    before = model_config.to_dict()
    detector(model=model_config)
    assert model_config.to_dict() == before


def test_config_b16__builds_with_matching_parts() -> None:
    model_config = Config.fromfile(CONFIGS / 'ov_coco' / 'atss_vit_b16_640.py').model
    init_default_scope('mmdet')
    with torch.device('meta'):
        model = MODELS.build(model_config)
        levels = model.neck([torch.empty(1, 768, 40, 40) for _ in range(4)])
        features, deltas, _ = model.bbox_head(levels)
    strides = [640 // level.shape[-1] for level in levels]
    assert strides == model_config.bbox_head.anchor_generator.strides
    assert [each.shape[1] for each in (*features, *deltas)] == [256] * 5 + [4] * 5


@pytest.mark.slow
def test_training__finds_the_boxes_it_was_shown() -> None:
    model = detector(seed=2).train()
    model.bbox_head.test_cfg.score_ensemble.update(alpha=0.0, beta=0.0)  # the random tower knows nothing
    optimizer = OptimWrapper(torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3))
    history, steps = [], 300
    for step in range(steps):
        optimizer.param_groups[0]['lr'] = 5e-3 * (1 - step / steps)  # it settles, however the sums are rounded
        history.append(model.train_step(batch(*BOXES, labels=LABELS), optimizer)['loss_cls'].item())
    assert history[-1] < 0.1 * history[0]
    model.set_vocabulary(['cat', 'tree'])  # a random text tower makes nothing of names without boxes
    results = model.eval().test_step(batch(*BOXES))
    for result, boxes, labels in zip(results, BOXES, [[0], [1, 0]], strict=True):
        instances = result.pred_instances[result.pred_instances.scores > 0.3]
        assert sorted(instances.labels.tolist()) == sorted(labels)
        for box, label in zip(boxes, labels, strict=True):
            (index,) = torch.where(instances.labels == label)[0].tolist()
            assert box_iou(instances.bboxes[[index]], torch.tensor([box])).item() > 0.7
