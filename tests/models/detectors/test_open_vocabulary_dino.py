"""The whole detector: mmdet's DINO where the classes are rows, what learns, what a vocabulary changes."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torchvision.ops import box_iou

from fgdet.models.detectors.open_vocabulary_dino import OpenVocabularyDINO
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from tests.detector_builders import CONFIGS, NAMES, batch, dino_config, tiny_dino

BOXES = [[[8.0, 8.0, 40.0, 40.0]], [[20.0, 4.0, 60.0, 30.0], [2.0, 30.0, 30.0, 62.0]]]
LABELS = [[0], [3, 0]]


def loss(detector: OpenVocabularyDINO, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)  # the noise of the denoising queries
    data = detector.data_preprocessor(batch(*BOXES, labels=LABELS), training=True)
    return detector.parse_losses(detector(**data, mode='loss'))[1]


def found(detector: OpenVocabularyDINO, size_hw: tuple[int, int] = (64, 64)) -> dict[str, torch.Tensor]:
    """Scores by class name, over the same boxes in the same order."""
    detector.bbox_head.test_cfg.update(score_thr=-1.0, max_per_img=2000)
    instances = detector.test_step(batch([], size_hw=size_hw))[0].pred_instances
    order = instances.bboxes.sum(1).argsort(stable=True)
    labels, scores = instances.labels[order], instances.scores[order]
    return {name: scores[labels == i] for i, name in enumerate(detector.vocabulary.names)}


@pytest.mark.parametrize('size_hw', [(64, 64), (64, 48)])
def test_loss__mmdets_dino_where_the_classes_are_rows(size_hw: tuple[int, int]) -> None:
    model = dino_config().model
    model.bbox_head.classifier = dict(type='fgdet.LinearClassifier', num_classes=4, background=False, bias=-2.0)
    model.vocabulary.update(base=NAMES, novel=[])
    model.dn_cfg.update(label_noise_scale=1e-9, box_noise_scale=1e-9)  # what is drawn shall not matter
    init_default_scope('mmdet')
    torch.manual_seed(0)
    ours = MODELS.build(model).train()
    ours.init_weights()
    for branch in ours.bbox_head.reg_branches:
        torch.nn.init.normal_(branch[-1].weight, std=0.5)
    ours.use(ours.training_vocabulary)
    model.bbox_head.update(type='DINOHead', num_classes=4)
    for part, key in ((model, 'class_embeddings'), (model, 'vocabulary'), (model.bbox_head, 'classifier')):
        part.pop(key)
    for key in ('type', 'embed_dim'):
        model.dn_cfg.pop(key)
    theirs = MODELS.build(dict(model, type='DINO', with_box_refine=True, as_two_stage=True)).train()
    queries = ours.dn_query_generator
    state = {name.replace('.linear.', '.'): value for name, value in ours.state_dict().items()}
    state['dn_query_generator.label_embedding.weight'] = queries.label_embedding.weight + queries.class_projection(
        queries.class_embeddings
    )
    unknown = theirs.load_state_dict(state, strict=False).unexpected_keys
    assert all(re.match(r'class_embeddings\.|.*class_(keys|projection)', name) for name in unknown)
    theirs.extract_feat = ours.extract_feat  # without the dense map
    data = batch(*BOXES, labels=LABELS, size_hw=size_hw)
    data['inputs'][0] = data['inputs'][0][:, :56]  # one image is padded
    data['data_samples'][0].set_metainfo(dict(img_shape=(56, size_hw[1])))
    data = ours.data_preprocessor(data, training=True)
    expected = theirs(**data, mode='loss')
    for name, value in ours(**data, mode='loss').items():
        torch.testing.assert_close(value, expected.pop(name), msg=name)
    assert not expected


def test_loss__every_part_but_the_towers_learns() -> None:
    detector = tiny_dino().train()
    towers = ('backbone.', 'class_embeddings.')
    for name, parameter in detector.named_parameters():
        if not name.startswith(towers):
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)  # zeros at the start pass no gradient on
    loss(detector)['loss'].backward()
    for name, parameter in detector.named_parameters():
        learns = parameter.grad is not None and bool(parameter.grad.any())
        assert learns != name.startswith(towers), name


def test_loss__a_batch_without_boxes() -> None:
    detector = tiny_dino().train()
    data = detector.data_preprocessor(batch([], []), training=True)
    total, _ = detector.parse_losses(detector(**data, mode='loss'))
    total.backward()
    assert torch.isfinite(total)
    learned = [each for each in detector.parameters() if each.requires_grad]
    assert all(each.grad is not None for each in learned)  # or other ranks would wait for it


def test_loss__fewer_cells_than_queries_and_padding_among_them() -> None:
    detector = tiny_dino().train()
    data = batch([[1.0, 1.0, 12.0, 15.0]], [[0.0, 0.0, 6.0, 6.0]], size_hw=(16, 16))
    data['inputs'][1] = data['inputs'][1][:, :8, :8]  # one cell, the other three are padding
    data['data_samples'][1].set_metainfo(dict(img_shape=(8, 8)))
    total, _ = detector.parse_losses(detector(**detector.data_preprocessor(data, training=True), mode='loss'))
    total.backward()
    gradients = [each.grad for each in detector.parameters() if each.requires_grad]
    assert torch.isfinite(total) and all(torch.isfinite(each).all() for each in gradients)


def test_loss__refuses_boxes_of_novel_classes() -> None:
    detector = tiny_dino().train()
    data = detector.data_preprocessor(batch(*BOXES, labels=[[1], [3, 0]]), training=True)
    with pytest.raises(ValueError, match=r'labels \[1\] are classes that are not in the base vocabulary'):
        detector(**data, mode='loss')


def test_loss__novel_names_change_nothing() -> None:
    first, second = tiny_dino().train(), tiny_dino().train()
    second.training_vocabulary = Vocabulary(
        ['cat', 'an owl', 'a boat', 'tree'], base=['cat', 'tree'], templates=first.training_vocabulary.templates
    )
    torch.testing.assert_close(loss(first)['loss'], loss(second)['loss'])


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast__trains_and_predicts(dtype: torch.dtype) -> None:
    detector = tiny_dino().train()
    with torch.autocast('cpu', dtype=dtype):
        losses = loss(detector)
        scores = found(detector.eval())
    losses['loss'].backward()
    torch.testing.assert_close(losses['loss'], loss(detector.train())['loss'], rtol=0.05, atol=0.05)
    assert all(torch.isfinite(each).all() and each.max() <= 1 for each in scores.values())


def test_set_vocabulary__other_order_same_scores_and_training() -> None:
    detector = tiny_dino()
    trained, before = loss(detector.train())['loss'], found(detector.eval())
    detector.set_vocabulary(NAMES[::-1])
    after = found(detector)
    assert set(after) == set(before)
    for name in NAMES:
        assert len(after[name]) == detector.num_queries
        torch.testing.assert_close(after[name], before[name])
    assert torch.equal(loss(detector.train())['loss'], trained)


def test_set_vocabulary__negatives_take_and_are_not_reported() -> None:
    detector = tiny_dino()
    templates = detector.training_vocabulary.templates
    detector.set_vocabulary(Vocabulary(['dog', 'red mug'], background=['a photo of a dog.'], templates=templates))
    scores = found(detector)
    assert set(scores) == {'dog', 'red mug'} and scores['dog'].all()
    gone = scores['red mug'] == 0
    assert gone.any() and (scores['red mug'] >= scores['dog'])[~gone].all()


def test_predict__thousands_of_names_on_fewer_cells_than_queries() -> None:
    detector = tiny_dino()
    detector.set_vocabulary(Vocabulary([f'thing {index}' for index in range(1203)], templates=['{}']))
    detector.bbox_head.test_cfg.update(max_per_img=50)
    (result,) = detector.test_step(batch([], size_hw=(16, 8)))  # two cells
    assert len(result.pred_instances) == 50 and len(result.pred_instances.bboxes.unique(dim=0)) <= 2


def test_init__leaves_its_config_as_it_was() -> None:
    config = dino_config().model
    before = config.to_dict()
    init_default_scope('mmdet')
    MODELS.build(config)
    assert config.to_dict() == before


def test_config_b16__levels_and_widths_fit() -> None:
    config = Config.fromfile(CONFIGS / 'ov_coco' / 'dino_vit_b16_640.py').model
    init_default_scope('mmdet')
    with torch.device('meta'):
        detector = MODELS.build(config)
        taps = [torch.empty(1, 768, 40, 40) for _ in config.backbone.out_indices]
        levels = detector.neck(taps)
    assert [640 // level.shape[-1] for level in levels] == [8, 16, 32, 64]
    assert {level.shape[1] for level in levels} == {detector.embed_dims}
    assert len(levels) == detector.num_feature_levels and len(detector.bbox_head.cls_branches) == 7


@pytest.mark.slow
def test_training__finds_the_boxes_it_was_shown() -> None:
    detector = tiny_dino(seed=2).train()
    detector.bbox_head.test_cfg.update(score_ensemble=None)  # the random tower knows nothing
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
