"""The one-stage head against sums written out for one cell, mmdet's own head, and loops over cells and names."""

import copy
import math
from typing import Any

import pytest
import torch
from mmdet.models.dense_heads import ATSSHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import box_iou, roi_align

from fgdet.models.dense_heads import ov_atss_head
from fgdet.models.dense_heads.ov_atss_head import OVATSSHead

CHANNELS, DIM, STRIDES, SIDE = 4, 6, [8, 16], 3  # anchors of three strides
TRAINED = [True, False, True, True]
SHARED = dict(
    in_channels=CHANNELS,
    feat_channels=CHANNELS,
    stacked_convs=1,
    norm_cfg=dict(type='GN', num_groups=2),
    anchor_generator=dict(
        type='AnchorGenerator', ratios=[1.0], octave_base_scale=SIDE, scales_per_octave=1, strides=STRIDES
    ),
    bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0, 0, 0, 0], target_stds=[0.1, 0.1, 0.2, 0.2]),
    loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
    train_cfg=ConfigDict(assigner=dict(type='ATSSAssigner', topk=4), allowed_border=-1, pos_weight=-1),
)
FOCAL = dict(type='FocalLoss', use_sigmoid=True)
TEST_CFG = ConfigDict(
    max_cells=1000,
    score_thr=0.05,
    nms=dict(type='nms', iou_threshold=0.4),
    max_per_img=1000,
    score_ensemble=dict(alpha=0.2, beta=0.5, temperature=0.5),
)


def text_head(num_negatives: int = 0, seed: int = 0, **changes: Any) -> OVATSSHead:
    """A random head whose predictions differ much from cell to cell."""
    torch.manual_seed(seed)
    classifier = dict(type='fgdet.TextClassifier', embed_dim=DIM, background=False, bias=-0.5, temperature=0.3)
    head = OVATSSHead(**{**SHARED, 'classifier': classifier, 'loss_cls': FOCAL, 'test_cfg': TEST_CFG, **changes})
    for parameter in head.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    embeddings = torch.nn.functional.normalize(torch.randn(len(TRAINED) + num_negatives, DIM), dim=1)
    head.set_classes(embeddings, torch.tensor(TRAINED + [False] * num_negatives), num_negatives)
    return head


def pyramid(batch: int = 2, size_hw: tuple[int, int] = (32, 48), seed: int = 1) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    height, width = size_hw
    return tuple(torch.randn(batch, CHANNELS, height // s, width // s, generator=generator) for s in STRIDES)


def samples(
    *boxes: list[list[float]], labels: list[list[int]], img_shape: tuple[int, int] = (32, 48)
) -> list[DetDataSample]:
    made = []
    for each, each_labels in zip(boxes, labels, strict=True):
        meta = dict(img_shape=img_shape, pad_shape=img_shape, batch_input_shape=(32, 48), scale_factor=(2.0, 0.5))
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(each).reshape(-1, 4), labels=torch.tensor(each_labels, dtype=torch.int64)
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
        made.append(sample)
    return made


def scores_and_boxes(head: OVATSSHead, features: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """For each level the scores (B, h * w, K + N) and the boxes (B, h * w, 4), neither chosen nor clipped."""
    levels = zip(
        *head(features), head.prior_generator.grid_priors([x.shape[-2:] for x in features], device='cpu'), strict=True
    )
    scores, boxes = [], []
    for *maps, priors in levels:
        cells, deltas, centerness = (each.flatten(2).transpose(1, 2) for each in maps)
        scores.append(head.scores(cells, centerness))
        boxes.append(torch.stack([head.bbox_coder.decode(priors, image) for image in deltas]))
    return scores, boxes


BOXES = ([[4.0, 4.0, 26.0, 28.0], [20.0, 2.0, 46.0, 30.0]], [[8.0, 0.0, 40.0, 22.0]])


def test_forward__one_cell_written_out() -> None:
    head = text_head()
    features, deltas, centerness = (maps[1][1, :, 1, 2] for maps in head(pyramid()))  # image 1, stride 16, row 1, col 2
    classifier = head.atss_cls
    projected = [
        sum(w * x for w, x in zip(row, features.tolist(), strict=True)) + b
        for row, b in zip(classifier.projection.weight.tolist(), classifier.projection.bias.tolist(), strict=True)
    ]
    length = math.sqrt(sum(value**2 for value in projected))
    dx, dy, dw, dh = (std * value for std, value in zip([0.1, 0.1, 0.2, 0.2], deltas.tolist(), strict=True))
    side, x, y = SIDE * 16, 2 * 16, 1 * 16  # anchors stand on the cells' corners, as mmdet has them
    half_w, half_h = side * math.exp(dw) / 2, side * math.exp(dh) / 2
    centre_x, centre_y = x + side * dx, y + side * dy
    scores, boxes = scores_and_boxes(head, pyramid())
    for name, embedding in enumerate(head.class_embeddings.tolist()):
        cosine = sum(p * e for p, e in zip(projected, embedding, strict=True)) / length
        logit = cosine / 0.3 - 0.5
        expected = 1 / (1 + math.exp(-logit)) / (1 + math.exp(-centerness.item()))
        assert scores[1][1, 1 * 3 + 2, name].item() == pytest.approx(expected, rel=1e-5)
    expected_box = [centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h]
    assert boxes[1][1, 1 * 3 + 2].tolist() == pytest.approx(expected_box, rel=1e-5)


@pytest.mark.filterwarnings('ignore:DeprecationWarning. `num_anchors`')  # of mmdet's own head
@pytest.mark.parametrize('loss_cls', [FOCAL, dict(type='CrossEntropyLoss', use_sigmoid=True)], ids=['focal', 'cross'])
def test_loss__of_a_linear_classifier_is_mmdets_on_the_trained_names(loss_cls: dict[str, Any]) -> None:
    columns = [0, 2, 3]
    linear = dict(type='fgdet.LinearClassifier', num_classes=len(TRAINED), background=False, bias=-2.0)
    head = text_head(classifier=linear, loss_cls=loss_cls)
    reference = ATSSHead(num_classes=len(columns), pred_kernel_size=1, **{**SHARED, 'loss_cls': loss_cls})
    state = {key: value for key, value in head.state_dict().items() if not key.startswith('atss_cls')}
    state['atss_cls.weight'] = head.atss_cls.linear.weight[columns, :, None, None]
    state['atss_cls.bias'] = head.atss_cls.linear.bias[columns]
    for name in ('atss_reg', 'atss_centerness'):  # ours are 3x3 whatever classifies
        setattr(reference, name, copy.deepcopy(getattr(head, name)))
    reference.load_state_dict(state)
    losses = head.loss(pyramid(), samples(*BOXES, labels=[[2, 0], [3]]))
    expected = reference.loss(pyramid(), samples(*BOXES, labels=[[1, 0], [2]]))
    assert set(losses) == set(expected)
    for key, levels in expected.items():
        for level, expected_level in zip(losses[key], levels, strict=True):
            torch.testing.assert_close(level, expected_level)
    for each in (losses, expected):
        torch.stack([level for levels in each.values() for level in levels]).sum().backward()
    trained = head.atss_cls.linear.weight.grad
    torch.testing.assert_close(trained[columns], reference.atss_cls.weight.grad[..., 0, 0])
    assert not trained[1].any()
    for ours, theirs in zip(head.cls_convs.parameters(), reference.cls_convs.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize('kind', ['QualityFocalLoss', 'VarifocalLoss'])
def test_loss__quality_is_the_overlap_of_the_predicted_box(kind: str) -> None:
    head = text_head(loss_cls=dict(type=kind, use_sigmoid=True))
    logits = torch.randn(1, 3, 1, 3, requires_grad=True)  # three trained names, three cells
    deltas, centerness = torch.randn(1, 4, 1, 3), torch.randn(1, 1, 1, 3)
    anchors = torch.tensor([[[0.0, 0, 10, 10], [5, 5, 15, 15], [10, 10, 20, 20]]])
    truth = torch.tensor([[[0.0, 0, 9, 12], [0, 0, 0, 0], [8, 9, 20, 18]]])
    labels, weights = torch.tensor([[2, 3, 0]]), torch.tensor([[1.0, 0.5, 1.0]])  # 3: the background
    loss, *_ = head.loss_by_feat_single(anchors, logits, deltas, centerness, labels, weights, truth, 2.0)
    expected = 0.0
    for cell in range(3):
        box = head.bbox_coder.decode(anchors[0, [cell]], deltas[0, :, 0, cell][None])
        for name in range(3):
            probability = logits[0, name, 0, cell].sigmoid().item()
            quality = box_iou(box, truth[0, [cell]]).item() if labels[0, cell] == name else 0.0
            entropy = -quality * math.log(probability) - (1 - quality) * math.log(1 - probability)
            if kind == 'QualityFocalLoss':
                factor = (quality - probability) ** 2
            else:
                factor = quality if quality else 0.75 * probability**2
            expected += weights[0, cell].item() * factor * entropy
    assert loss.item() == pytest.approx(expected / 2.0, rel=1e-5)


def test_loss__names_without_boxes_play_no_part() -> None:
    head, features = text_head(), pyramid()
    data = samples(*BOXES, labels=[[2, 0], [3]])
    before = head.loss(features, data)['loss_cls']
    embeddings = head.class_embeddings.clone()
    embeddings[1] = -embeddings[1]
    head.set_classes(embeddings, torch.tensor(TRAINED))
    assert torch.equal(torch.stack(head.loss(features, data)['loss_cls']), torch.stack(before))
    with pytest.raises(ValueError, match=r'labels \[1\] are classes that are not in the base vocabulary'):
        head.loss(features, samples(*BOXES, labels=[[2, 0], [1]]))


def test_loss__an_image_without_boxes() -> None:
    head = text_head()
    losses = head.loss(pyramid(1), samples([], labels=[[]]))
    torch.stack([level for levels in losses.values() for level in levels]).sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert not any(level.any() for level in losses['loss_bbox'] + losses['loss_centerness'])


def test_assigner__one_that_knows_no_levels() -> None:
    assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.6, neg_iou_thr=0.6, min_pos_iou=0.6)
    head = text_head(train_cfg=ConfigDict(assigner=assigner, allowed_border=-1, pos_weight=-1))
    truth = [[4.0, 4.0, 26.0, 28.0], [0.0, -4.0, 40.0, 40.0]]
    metas = [sample.metainfo for sample in samples([], labels=[[]])]
    anchors, valid = head.get_anchors([(4, 6), (2, 3)], metas, device='cpu')
    overlaps = box_iou(torch.cat(anchors[0]), torch.tensor(truth))
    instances = samples(truth, labels=[[0, 2]])[0].gt_instances
    labels = torch.cat(head.get_targets(anchors, valid, [instances], metas)[1], dim=1)[0]
    best, which = overlaps.max(dim=1)
    expected = torch.where(best >= 0.6, instances.labels[which], 3)
    assert labels.tolist() == expected.tolist()
    assert {0, 2, 3} == set(labels.tolist())


def naive_prediction(
    head: OVATSSHead, features: tuple[Tensor, ...], dense: Tensor, image: int, meta: dict, cfg: ConfigDict
) -> list[tuple[float, int, list[float]]]:
    """Every cell and every name of one image: (score, label, box) from the highest score on."""
    names = len(head.class_embeddings) - head.num_negatives
    levels, boxes = scores_and_boxes(head, tuple(level[[image]] for level in features))
    cells = torch.cat(levels, dim=1)[0]  # (S, K + N)
    all_boxes = torch.cat(boxes, dim=1)[0]  # (S, 4)
    order = sorted(range(len(cells)), key=lambda cell: -cells[cell, :names].max().item())
    height, width = meta['img_shape']
    candidates = []
    for cell in order[: cfg.max_cells]:
        box = all_boxes[cell].clamp(min=0).minimum(torch.tensor([width, height, width, height]))
        if box[2] <= box[0] or box[3] <= box[1]:
            continue
        roi = torch.cat([torch.zeros(1), box])[None]
        region = roi_align(dense[[image]], roi, 1, dense.shape[-1] / 48, -1, aligned=True)[0, :, 0, 0]
        cosines = head.class_embeddings @ region / region.norm()
        frozen = (cosines / cfg.score_ensemble.temperature).softmax(0).tolist()
        weights = [cfg.score_ensemble.alpha if trained else cfg.score_ensemble.beta for trained in head.is_trained]
        joined = [p ** (1 - w) * q**w for p, q, w in zip(cells[cell].tolist(), frozen, weights, strict=True)]
        for name in range(names):
            if joined[name] > cfg.score_thr and all(joined[name] >= other for other in joined[names:]):
                candidates.append((joined[name], name, box))
    kept: list[tuple[float, int, Tensor]] = []
    for score, name, box in sorted(candidates, key=lambda each: -each[0]):
        rivals = [other for _, label, other in kept if cfg.class_agnostic_nms or label == name]
        if all(box_iou(box[None], other[None]).item() <= cfg.nms.iou_threshold for other in rivals):
            kept.append((score, name, box))
    scale = torch.tensor(meta['scale_factor']).repeat(2)
    return [(score, name, (box / scale).tolist()) for score, name, box in kept[: cfg.max_per_img]]


@pytest.mark.parametrize(
    ('max_cells', 'num_negatives', 'class_agnostic'), [(1000, 0, False), (1000, 2, False), (7, 2, True)]
)
def test_predict__against_loops_over_cells_and_names(
    max_cells: int, num_negatives: int, class_agnostic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ov_atss_head, 'CELLS_AT_ONCE', 5)
    cfg = ConfigDict(copy.deepcopy(TEST_CFG), max_cells=max_cells, class_agnostic_nms=class_agnostic)
    head = text_head(num_negatives, test_cfg=cfg)
    features, dense = pyramid(), torch.randn(2, DIM, 2, 3, generator=torch.Generator().manual_seed(3))
    data = samples([], [], labels=[[], []], img_shape=(30, 40))
    with torch.no_grad():
        results = head.predict((*features, dense), data, rescale=True)
        for image, result in enumerate(results):
            expected = naive_prediction(head, features, dense, image, data[image].metainfo, cfg)
            assert len(expected) > 3
            assert result.labels.tolist() == [label for _, label, _ in expected]
            torch.testing.assert_close(result.scores, torch.tensor([score for score, *_ in expected]))
            torch.testing.assert_close(result.bboxes, torch.tensor([box for *_, box in expected]))


def test_predict__nothing_above_the_threshold_and_no_ensemble() -> None:
    cfg = ConfigDict(copy.deepcopy(TEST_CFG), score_thr=1.0)
    head = text_head(test_cfg=cfg)
    features, dense, data = pyramid(1), torch.randn(1, DIM, 2, 3), samples([], labels=[[]])
    with torch.no_grad():
        result = head.predict((*features, dense), data)[0]
        assert result.bboxes.shape == (0, 4) and result.scores.shape == result.labels.shape == (0,)
        cfg.update(score_thr=0.0, score_ensemble=None, nms=None)
        found = head.predict((*features, dense), data)[0].scores
        expected = torch.cat(scores_and_boxes(head, features)[0], dim=1).flatten().sort(descending=True).values
    torch.testing.assert_close(found, expected[: len(found)])
    assert len(found) > 50


def test_forward__an_image_does_not_depend_on_its_batch() -> None:
    head = text_head()
    together, alone = scores_and_boxes(head, pyramid()), scores_and_boxes(head, tuple(x[1:] for x in pyramid()))
    for both, single in zip((*together[0], *together[1]), (*alone[0], *alone[1]), strict=True):
        torch.testing.assert_close(both[1:], single)


def test_decode__gives_back_the_boxes_that_were_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    head = text_head()
    generator = torch.Generator().manual_seed(5)
    truth, deltas = [], []
    sizes = [(4, 6), (2, 3)]
    for anchors, (h, w) in zip(head.prior_generator.grid_priors(sizes, device='cpu'), sizes, strict=True):
        corner = torch.rand(len(anchors), 2, generator=generator) * 20
        truth.append(torch.cat([corner, corner + 5 + 20 * torch.rand(len(anchors), 2, generator=generator)], dim=1))
        deltas.append(head.bbox_coder.encode(anchors, truth[-1]).T.reshape(1, 4, h, w))
    class_features, _, centerness = head(pyramid(1))
    monkeypatch.setattr(OVATSSHead, 'forward', lambda *_: (class_features, deltas, centerness))
    for boxes, expected in zip(scores_and_boxes(head, pyramid(1))[1], truth, strict=True):
        torch.testing.assert_close(boxes[0], expected, rtol=1e-4, atol=1e-4)


def test_init__refuses_several_anchors_of_a_cell() -> None:
    anchors = dict(type='AnchorGenerator', ratios=[0.5, 1.0], scales=[4], strides=STRIDES)
    with pytest.raises(ValueError, match='one scale and one ratio, got 2 anchors'):
        text_head(anchor_generator=anchors)
