"""A small detector, its checkpoint and its data, for the tests of several parts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.structures import InstanceData

from fgdet.models.detectors.open_vocabulary_dino import OpenVocabularyDINO
from fgdet.models.detectors.open_vocabulary_rcnn import OpenVocabularyRCNN
from fgdet.models.detectors.open_vocabulary_single_stage import OpenVocabularySingleStage
from fgdet.registry import MODELS
from fgdet.utils.imports import import_quietly

CONFIGS = Path(__file__).parents[1] / 'configs'
NAMES, BASE, NOVEL = ['cat', 'red mug', 'dog', 'tree'], ['cat', 'tree'], ['red mug', 'dog']

#: A small detector of one class that mmdet has; only for tests of runs.
FCOS_CONFIG = """
_base_ = [{runtime!r}]
log_level = 'WARNING'
convolutions = dict(num_classes=1, in_channels=8, feat_channels=8, stacked_convs=1, norm_cfg=None)
model = dict(
    type='FCOS',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=18, base_channels=8, out_indices=(3,)),
    neck=dict(type='FPN', in_channels=[64], out_channels=8, num_outs=1),
    bbox_head=dict(type='FCOSHead', strides=[32], regress_ranges=((-1, 1e8),), **convolutions),
    test_cfg=dict(nms_pre=9, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=9),
)
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type='CocoDataset',
        ann_file={ann_file!r},
        metainfo=dict(classes=('thing',)),
        data_prefix=dict(img={images!r}),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64)),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ],
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = {evaluator}
test_cfg = dict()
"""


def detector_config(form: str = 'fvit_tiny') -> Config:
    """The shipped tiny detector, or one with masks or stages, with four names and 16 channels: milliseconds a step."""
    config = Config.fromfile(CONFIGS / 'ov_coco' / f'{form}.py')
    vision = dict(image_size=32, patch_size=8, width=16, num_layers=3, num_heads=2, mlp_width=32, output_dim=16)
    config.model.backbone.vision = vision
    config.model.class_embeddings.text_encoder.update(width=16, num_layers=1, num_heads=2, mlp_width=32, output_dim=16)
    config.model.neck[0].in_channels = 16
    config.model.neck[1].update(in_channels=[8, 16, 16], out_channels=16)
    config.model.rpn_head.update(in_channels=16, feat_channels=16)
    second = config.model.roi_head
    second.bbox_roi_extractor.out_channels = 16
    for head in second.bbox_head if isinstance(second.bbox_head, list) else [second.bbox_head]:
        head.update(in_channels=16, conv_out_channels=16, fc_out_channels=16)
        head.classifier.embed_dim = 16
    if 'mask_head' in second:
        second.mask_roi_extractor.out_channels = 16
        second.mask_head.update(in_channels=16, conv_out_channels=16)
    config.model.vocabulary = dict(names=NAMES, base=BASE, novel=NOVEL, templates=['a photo of a {}.'])
    return config


def tiny_detector(seed: int = 0, form: str = 'fvit_tiny') -> OpenVocabularyRCNN:
    """A random detector of :func:`detector_config`, in eval mode."""
    init_default_scope('mmdet')
    torch.manual_seed(seed)
    return MODELS.build(detector_config(form).model).eval()


def one_stage_config() -> Config:
    """The shipped tiny one-stage detector with the names, the towers and the width of :func:`detector_config`."""
    config, small = Config.fromfile(CONFIGS / 'ov_coco' / 'atss_tiny.py'), detector_config().model
    model = config.model
    model.vocabulary = small.vocabulary
    model.backbone.vision = small.backbone.vision
    model.class_embeddings.text_encoder = small.class_embeddings.text_encoder
    model.neck[0].in_channels = 16
    model.neck[1].update(in_channels=[8, 16, 16], out_channels=16)
    model.bbox_head.update(in_channels=16, feat_channels=16)
    model.bbox_head.classifier.embed_dim = 16
    return config


def tiny_one_stage(seed: int = 0) -> OpenVocabularySingleStage:
    """A random detector of :func:`one_stage_config`, in eval mode."""
    init_default_scope('mmdet')
    torch.manual_seed(seed)
    return MODELS.build(one_stage_config().model).eval()


def dino_config() -> Config:
    """The shipped tiny DINO with the names, the towers and the width of :func:`detector_config`, and 6 queries."""
    config, small = Config.fromfile(CONFIGS / 'ov_coco' / 'dino_tiny.py'), detector_config().model
    model = config.model
    model.update(vocabulary=small.vocabulary, num_queries=6)
    model.backbone.vision = small.backbone.vision
    model.class_embeddings.text_encoder = small.class_embeddings.text_encoder
    model.neck[0].in_channels = 16
    model.neck[1].update(in_channels=[16], out_channels=16, norm_cfg=dict(type='GN', num_groups=4))
    for part, attention in ((model.encoder, 'self_attn_cfg'), (model.decoder, 'cross_attn_cfg')):
        part.num_layers = 2
        part.layer_cfg.self_attn_cfg.update(embed_dims=16, num_heads=2)
        part.layer_cfg[attention].update(embed_dims=16, num_heads=2)
        part.layer_cfg.ffn_cfg.update(embed_dims=16, feedforward_channels=16)
    model.positional_encoding.num_feats = 8
    model.bbox_head.update(embed_dims=16)
    model.bbox_head.classifier.embed_dim = model.dn_cfg.embed_dim = 16
    model.dn_cfg.group_cfg.num_dn_queries = 4
    return config


def atss_config() -> Config:
    """The shipped tiny one-stage detector with the names, the towers and the width of :func:`detector_config`."""
    config, small = Config.fromfile(CONFIGS / 'ov_coco' / 'atss_tiny.py'), detector_config().model
    config.model.vocabulary = small.vocabulary
    config.model.backbone.vision = small.backbone.vision
    config.model.class_embeddings.text_encoder = small.class_embeddings.text_encoder
    config.model.neck[0].in_channels = 16
    config.model.neck[1].update(in_channels=[8, 16, 16], out_channels=16)
    config.model.bbox_head.update(in_channels=16, feat_channels=16)
    config.model.bbox_head.classifier.embed_dim = 16
    return config


def tiny_dino(seed: int = 0) -> OpenVocabularyDINO:
    """A random detector of :func:`dino_config`, in eval mode."""
    init_default_scope('mmdet')
    torch.manual_seed(seed)
    detector = MODELS.build(dino_config().model)
    detector.init_weights()
    return detector.eval()


def write_detector(path: Path, seed: int = 0, **meta: Any) -> Path:
    """Its checkpoint as mmengine writes it; ``meta`` replaces what is stored beside the weights."""
    stored = dict(cfg=detector_config().pretty_text, dataset_meta=dict(classes=NAMES)) | meta
    torch.save(dict(meta=stored, state_dict=tiny_detector(seed).state_dict()), path)
    return path


def write_untrained_fcos(config: Path, checkpoint: Path, ann_file: str, images: str, evaluator: dict[str, Any]) -> None:
    """Write the config of an FCOS for one class, ``thing``, on images of 64 x 64 pixels, and weights as they begin."""
    runtime = str(CONFIGS / '_base_' / 'detection_runtime.py')
    text = FCOS_CONFIG.format(runtime=runtime, ann_file=ann_file, images=images, evaluator=evaluator)
    config.write_text(text, encoding='utf-8')
    import_quietly('mmdet.models')
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = ROOT_MODELS.build(Config.fromfile(config).model)
    torch.save({'state_dict': detector.state_dict()}, checkpoint)


def batch(
    *boxes: Sequence[Sequence[float]],
    labels: Sequence[Sequence[int]] | None = None,
    size_hw: tuple[int, int] = (64, 64),
) -> dict[str, Any]:
    """A data loader's batch of random images, one for each list of xyxy boxes in pixels; an object fills its box."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for index, each in enumerate(boxes):
        sample = DetDataSample(
            metainfo=dict(img_id=index, img_shape=size_hw, ori_shape=size_hw, scale_factor=(1.0, 1.0))
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(each, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor(labels[index] if labels else [0] * len(each), dtype=torch.int64),
        )
        masks = np.zeros((len(each), *size_hw), np.uint8)
        for mask, (left, top, right, bottom) in zip(masks, np.array(each, int).reshape(-1, 4), strict=True):
            mask[top:bottom, left:right] = 1
        sample.gt_instances.masks = BitmapMasks(masks, *size_hw)
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
        samples.append(sample)
    images = [torch.randint(0, 256, (3, *size_hw), dtype=torch.uint8, generator=generator) for _ in boxes]
    return dict(inputs=images, data_samples=samples)


def write_picture(path: Path, size_hw: tuple[int, int] = (48, 64), seed: int = 0) -> np.ndarray:
    """A PNG of smooth random colours; returns its (H, W, 3) uint8 RGB pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[..., ::-1])
    return pixels


def write_annotations(path: Path, categories: dict[str, int], images: Sequence[Sequence[tuple[Any, ...]]]) -> Path:
    """A COCO-form file of 100 x 80 images; each image a list of (name, xywh box) or (name, box, iscrowd)."""
    annotations = [
        dict(
            id=100 * number + position,
            image_id=number,
            category_id=categories[name],
            bbox=list(box),
            area=box[2] * box[3],
            iscrowd=int(crowd[0]) if crowd else 0,
        )
        for number, objects in enumerate(images, 1)
        for position, (name, box, *crowd) in enumerate(objects, 1)
    ]
    content = dict(
        images=[dict(id=n, file_name=f'{n}.jpg', width=100, height=80) for n in range(1, len(images) + 1)],
        categories=[dict(id=i, name=name) for name, i in categories.items()],
        annotations=annotations,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')
    return path
