"""Logits, losses, proposals and predictions of the head, each against a plain computation or mmdet's own head."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import DINOHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from fgdet.models.dense_heads import ov_dino_head
from fgdet.models.dense_heads.ov_dino_head import OVDINOHead
from fgdet.ops.roi_align import region_pool
from tests.detector_builders import dino_config

NUM_LAYERS, WIDTH, DIMENSION = 2, 8, 6
TEXT = dict(type='fgdet.TextClassifier', embed_dim=DIMENSION, temperature=0.1, background=False, bias=-2.0)
TRAINED = (True, False, True, False, False)  # three names and two negative prompts
METAS = [dict(img_shape=(40, 60), batch_input_shape=(48, 64), scale_factor=(2.0, 0.5))] * 2


def settings() -> dict[str, Any]:
    """The shipped losses, costs and ensemble."""
    init_default_scope('mmdet')
    model = dino_config().model
    losses = {name: model.bbox_head[name] for name in ('loss_cls', 'loss_bbox', 'loss_iou')}
    sizes = dict(embed_dims=WIDTH, num_pred_layer=NUM_LAYERS + 1, as_two_stage=True)
    return dict(**losses, **sizes, train_cfg=model.train_cfg, test_cfg=model.test_cfg)


def head(classifier: dict[str, Any] = TEXT, num_negatives: int = 2) -> OVDINOHead:
    torch.manual_seed(0)
    ours = OVDINOHead(classifier=classifier, **settings())
    for branch in ours.reg_branches:
        torch.nn.init.normal_(branch[-1].bias)
    embeddings = F.normalize(torch.randn(len(TRAINED), DIMENSION), dim=1)
    ours.set_classes(embeddings, torch.tensor(TRAINED), num_negatives)
    return ours


def states(num_queries: int, seed: int = 1) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Hidden states (L, B, Q, C), and the boxes that each layer began with."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(NUM_LAYERS, 2, num_queries, WIDTH, generator=generator)
    return hidden, [torch.rand(2, num_queries, 4, generator=generator) for _ in range(NUM_LAYERS)]


def samples(*labels: list[int]) -> list[DetDataSample]:
    generator = torch.Generator().manual_seed(2)
    result = []
    for each, meta in zip(labels, METAS, strict=True):
        corners = torch.rand(len(each), 2, 2, generator=generator).sort(dim=1).values * torch.tensor([60.0, 40.0])
        result.append(DetDataSample(metainfo=meta))
        result[-1].gt_instances = InstanceData(bboxes=corners.flatten(1), labels=torch.tensor(each, dtype=torch.int64))
    return result


def losses(of: DINOHead, *labels: list[int]) -> dict[str, torch.Tensor]:
    """Of four denoising queries for each box of the fuller image, in two groups, and five others."""
    num_denoising = 4 * max(map(len, labels))
    hidden, references = states(num_denoising + 5)
    memory, boxes = torch.randn(2, 7, WIDTH, generator=torch.Generator().manual_seed(3)), torch.full((2, 7, 4), 0.4)
    meta = dict(num_denoising_queries=num_denoising, num_denoising_groups=2)
    return of.loss(hidden, references, of.cls_branches[-1](memory), boxes, samples(*labels), meta)


def test_forward__cosines_times_scale_plus_bias_and_boxes_from_their_references() -> None:
    ours, (hidden, references) = head(), states(num_queries=4)
    logits, boxes = ours(hidden, references)
    assert logits.shape == (NUM_LAYERS, 2, 4, 5)
    for layer in range(NUM_LAYERS):
        projected = ours.cls_branches[layer].projection(hidden[layer])
        cosines = F.cosine_similarity(projected[..., None, :], ours.class_embeddings, dim=-1)
        torch.testing.assert_close(logits[layer], cosines / 0.1 - 2)
        odds = references[layer] / (1 - references[layer]) * ours.reg_branches[layer](hidden[layer]).exp()
        torch.testing.assert_close(boxes[layer], odds / (1 + odds))


@pytest.mark.parametrize('labels', [([0, 2, 2], [2]), ([2], []), ([], [])])
def test_loss__mmdets_head_of_the_trained_classes_alone(labels: tuple[list[int], list[int]]) -> None:
    linear = dict(type='fgdet.LinearClassifier', num_classes=len(TRAINED), background=False, bias=-2.0)
    ours, theirs = head(linear, num_negatives=0), DINOHead(num_classes=2, **settings())
    rows = torch.tensor([0, 2])
    theirs.load_state_dict(
        {
            name.replace('.linear.', '.'): value[rows] if '.linear.' in name else value
            for name, value in ours.state_dict().items()
            if 'class_keys' not in name
        }
    )
    found = losses(ours, *labels)
    expected = losses(theirs, *[[label // 2 for label in each] for each in labels])
    assert set(found) == set(expected) and len(found) == 3 * (2 * NUM_LAYERS + 1)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], msg=name)


def test_loss__refuses_a_label_of_a_novel_class() -> None:
    with pytest.raises(ValueError, match=r'training labels \[1\] are classes that are not in the base vocabulary'):
        losses(head(), [0, 1], [2])


def test_init__refuses_a_softmax() -> None:
    softmax = settings() | dict(loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False))
    with pytest.raises(ValueError, match='loss_cls: expected a loss with use_sigmoid=True'):
        OVDINOHead(classifier=TEXT, **softmax)


def test_init__one_branch_for_all_layers() -> None:
    ours = OVDINOHead(classifier=TEXT, share_pred_layer=True, **settings())
    assert len(ours.cls_branches) == NUM_LAYERS + 1 and len(set(ours.cls_branches)) == 1


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('max_logits', [2**24, 20, 1])  # all rows at once, four of them, one
def test_choose_proposals__the_best_over_trained_classes_or_over_names(
    training: bool, max_logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ov_dino_head, 'MAX_LOGITS', max_logits)
    ours, memory = head().train(training), torch.randn(2, 9, WIDTH)
    valid = torch.ones(2, 9, dtype=torch.bool)
    best = ours.cls_branches[-1](memory)[..., [0, 2] if training else [0, 1, 2]].max(dim=-1).values
    valid[0, best[0].argmax()] = False
    expected = [sorted(range(9), key=lambda cell: (valid[b, cell], best[b, cell]), reverse=True) for b in range(2)]
    chosen = ours.choose_proposals(memory, valid, 9)
    assert chosen[1].tolist() == expected[1]
    assert chosen[0, :8].tolist() == expected[0][:8] and chosen[0, 8] == best[0].argmax()
    assert torch.equal(ours.choose_proposals(memory, valid, 3), chosen[:, :3])


@pytest.mark.parametrize('rescale', [True, False])
def test_predict__a_loop_over_queries_and_names(rescale: bool) -> None:
    ours, (hidden, references) = head(), states(num_queries=6)
    ours.test_cfg = ConfigDict(score_thr=0.02, max_per_img=7, score_ensemble=dict(alpha=0.3, beta=0.6, temperature=0.5))
    dense = torch.randn(2, DIMENSION, 6, 8)
    results = ours.predict(hidden, references, dense, samples([], []), rescale)
    all_logits, all_boxes = ours(hidden, references)
    for index, result in enumerate(results):
        pairs = []
        for logits, (cx, cy, w, h) in zip(all_logits[-1, index], all_boxes[-1, index], strict=True):
            corners = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]).clamp(0, 1)
            box = corners * torch.tensor([60.0, 40.0, 60.0, 40.0])
            region = region_pool(dense[[index]], [box[None]], spatial_scale=1 / 8)[0, :, 0, 0]
            frozen = (F.cosine_similarity(region, ours.class_embeddings, dim=1) / 0.5).softmax(0)
            weight = torch.where(torch.tensor(TRAINED), 0.3, 0.6)
            scores = logits.sigmoid() ** (1 - weight) * frozen**weight
            shown = box / torch.tensor([2.0, 0.5, 2.0, 0.5]) if rescale else box
            pairs += [(scores[k], k, shown) for k in range(3) if scores[k] >= scores[3:].max() and scores[k] > 0.02]
        pairs.sort(key=lambda pair: -pair[0].item())
        assert 0 < len(pairs[:7]) < 18  # some lose to a negative prompt
        assert result.labels.tolist() == [label for _, label, _ in pairs[:7]]
        torch.testing.assert_close(result.scores, torch.stack([score for score, *_ in pairs[:7]]))
        torch.testing.assert_close(result.bboxes, torch.stack([box for *_, box in pairs[:7]]))


@pytest.mark.parametrize(('agnostic', 'labels'), [(None, [0, 2, 0, 2]), (False, [0, 2]), (True, [0])])
def test_predict_by_feat__suppression_is_a_choice(agnostic: bool | None, labels: list[int]) -> None:
    ours = head(num_negatives=0)
    ours.test_cfg = ConfigDict(score_thr=0.3, max_per_img=10)
    if agnostic is not None:
        ours.test_cfg.update(nms=dict(type='nms', iou_threshold=0.7), class_agnostic_nms=agnostic)
    logits = torch.tensor([[3.0, -9, 2, -9, -9], [1.0, -9, 0, -9, -9]])  # two queries on one place
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.49]])
    (found,) = ours.predict_by_feat(logits[None], boxes[None], torch.zeros(1, 6, 6, 8), METAS[:1], rescale=False)
    assert found.labels.tolist() == labels
    torch.testing.assert_close(found.bboxes[0], torch.tensor([15.0, 10.0, 45.0, 30.0]))
