"""Detectors of whose towers nothing, the last block, or adapters learn: a step, a checkpoint, a group of processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope

from fgdet.apis.detection import Detector
from fgdet.engine.optimizers.trainable import TrainableOptimWrapperConstructor
from fgdet.models.detectors.open_vocabulary_rcnn import OpenVocabularyRCNN
from fgdet.registry import MODELS
from tests.detector_builders import NAMES, batch, detector_config

OPTIONS = [{}, dict(unfreeze_last=1), dict(lora=dict(rank=2))]


def build(options: dict[str, Any]) -> tuple[Config, OpenVocabularyRCNN]:
    init_default_scope('mmdet')
    config = detector_config()
    config.model.backbone.update(options)
    torch.manual_seed(0)
    return config, MODELS.build(config.model)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures('group')
@pytest.mark.parametrize('options', OPTIONS)
def test_detector__trains_and_its_checkpoint_detects_the_same(options: dict[str, Any], tmp_path: Path) -> None:
    config, detector = build(options)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    optimizer = dict(type='SGD', lr=0.1)
    wrapper = TrainableOptimWrapperConstructor(dict(type='OptimWrapper', optimizer=optimizer))(detector)
    wrapped = MMDistributedDataParallel(detector)
    for _ in range(2):  # nothing that is reduced is unused, or the second step would stop
        wrapped.train_step(batch([[5, 5, 40, 40]], [[10, 20, 60, 50]]), wrapper)

    held = {id(parameter) for each in wrapper.optimizer.param_groups for parameter in each['params']}
    reduced = wrapped._get_ddp_logging_data()['num_parameter_tensors']
    assert reduced == len(held)
    moved = {name for name, value in detector.state_dict().items() if not torch.equal(value, before[name])}
    towers = {name for name in moved if name.startswith(('backbone.', 'class_embeddings.'))}
    wanted = {'unfreeze_last': 'backbone.visual.blocks.2.', 'lora': '.parametrizations.weight.0.'}
    assert all(wanted[next(iter(options))] in name for name in towers) and bool(towers) == bool(options)
    assert {name for name, parameter in detector.named_parameters() if id(parameter) in held} >= moved

    meta = dict(cfg=config.pretty_text, dataset_meta=dict(classes=NAMES))
    torch.save(dict(meta=meta, state_dict=detector.state_dict()), tmp_path / 'detector.pth')
    loaded = Detector.from_pretrained(None, tmp_path / 'detector.pth', device='cpu').model
    expected = detector.eval().test_step(batch([]))[0].pred_instances
    found = loaded.test_step(batch([]))[0].pred_instances
    assert torch.equal(found.bboxes, expected.bboxes) and torch.equal(found.scores, expected.scores)
