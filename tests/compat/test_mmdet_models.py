"""mmdet's own detectors on the served operators: each builds, learns from a step and predicts."""

from pathlib import Path
from typing import Any

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
SIZE = 96
SMALL_ATTENTION = {'num_layers': 1, 'layer_cfg': {'ffn_cfg': {'feedforward_channels': 64}}}
# The config of mmdet and what makes it small enough for a test; the backbone is a ResNet-18 in each.
MODELS_AND_CHANGES: dict[str, dict] = {
    'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py': {
        'neck': {'in_channels': [64, 128, 256, 512], 'out_channels': 32},
        'rpn_head': {'in_channels': 32, 'feat_channels': 32},
        'roi_head': {
            'bbox_roi_extractor': {'out_channels': 32},
            'bbox_head': {'in_channels': 32, 'fc_out_channels': 64},
            'mask_roi_extractor': {'out_channels': 32},
            'mask_head': {'in_channels': 32, 'conv_out_channels': 32},
        },
        'train_cfg': {'rpn_proposal': {'nms_pre': 100, 'max_per_img': 50}},
        'test_cfg': {'rpn': {'max_per_img': 50}, 'rcnn': {'score_thr': 0.0, 'max_per_img': 5}},
    },
    'atss/atss_r50_fpn_1x_coco.py': {
        'neck': {'in_channels': [64, 128, 256, 512], 'out_channels': 32},
        'bbox_head': {'in_channels': 32, 'feat_channels': 32, 'stacked_convs': 1},
        'test_cfg': {'score_thr': 0.0, 'max_per_img': 5},
    },
    'dino/dino-4scale_r50_8xb2-12e_coco.py': {
        'num_queries': 20,
        'neck': {'in_channels': [128, 256, 512]},
        'encoder': SMALL_ATTENTION,
        'decoder': SMALL_ATTENTION,
        'dn_cfg': {'group_cfg': {'num_dn_queries': 4}},
        'test_cfg': {'max_per_img': 5},
    },
}


def build(name: str) -> Any:
    config = Config.fromfile(CONFIGS / name)
    config.merge_from_dict({'model': MODELS_AND_CHANGES[name]})
    config.merge_from_dict({'model.backbone.depth': 18, 'model.backbone.init_cfg': None})
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config.model)
    model.init_weights()
    return model


def batch() -> dict:
    """Two images, one with two objects and one with none."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, SIZE, SIZE), dtype=torch.uint8, generator=generator) for _ in range(2)]
    samples: list[DetDataSample] = []
    objects: list[list[list[int]]] = [[[5, 8, 60, 70], [40, 30, 90, 88]], []]
    for boxes in objects:
        masks = np.zeros((len(boxes), SIZE, SIZE), dtype=np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
            mask[y1:y2, x1:x2] = 1
        sample = DetDataSample(
            metainfo={
                'img_shape': (SIZE, SIZE),
                'ori_shape': (2 * SIZE, 2 * SIZE),
                'scale_factor': (0.5, 0.5),
                'img_id': len(samples),
            }
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            labels=torch.arange(len(boxes)),
            masks=BitmapMasks(masks, SIZE, SIZE),
        )
        samples.append(sample)
    return {'inputs': images, 'data_samples': samples}


@pytest.mark.parametrize('name', MODELS_AND_CHANGES)
def test_detector__builds_learns_and_predicts(name: str) -> None:
    torch.manual_seed(0)
    model = build(name).train()
    optimizer = OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4))
    before = {key: value.clone() for key, value in model.named_parameters() if value.requires_grad}
    losses = model.train_step(batch(), optimizer)
    assert all(torch.isfinite(value).all() for value in losses.values())
    assert losses['loss'] > 0
    after = dict(model.named_parameters())
    moved = [key for key, value in before.items() if not torch.equal(value, after[key])]
    for part in ('backbone', 'neck', 'head'):
        assert any(part in key for key in moved), part

    model.eval()
    with torch.no_grad():
        predictions = model.test_step(batch())
    for prediction in predictions:
        instances = prediction.pred_instances
        assert 0 < len(instances) <= 5
        assert ((instances.scores >= 0) & (instances.scores <= 1)).all()
        assert (instances.bboxes >= 0).all()
        assert (instances.bboxes <= 2 * SIZE).all()  # pixels of the original image, twice the input
        if 'mask_rcnn' in name:
            assert instances.masks.shape == (len(instances), 2 * SIZE, 2 * SIZE)


def test_atss__a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    model = build('atss/atss_r50_fpn_1x_coco.py').train()
    optimizer = OptimWrapper(torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3))
    losses = [model.train_step(batch(), optimizer)['loss'].item() for _ in range(6)]
    assert losses[-1] < 0.9 * losses[0]
