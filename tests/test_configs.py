"""Every config parses, and its model builds: the real sizes without memory, on the meta device."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope

import fgdet  # noqa: F401 (serves mmcv's operators before mmdet's models are imported)
from tests.builders import ROOT

CONFIGS = ROOT / 'configs'
LEAVES = sorted(path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts)
BASES = sorted(path for path in CONFIGS.rglob('*.py') if '_base_' in path.parts)


def name(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


@pytest.fixture(autouse=True)
def scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())


def without_checkpoints(config: dict) -> dict:
    """The config with every checkpoint left out: no weights here, and none to fetch."""
    return {
        key: None if key == 'checkpoint' else without_checkpoints(value) if isinstance(value, dict) else value
        for key, value in config.items()
    }


@pytest.mark.parametrize('path', LEAVES, ids=name)
def test_config__model_builds(path: Path) -> None:
    config = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device('meta'):
        model = MODELS.build(ConfigDict(without_checkpoints(config.model.to_dict())))
    assert sum(parameter.numel() for parameter in model.parameters()) > 100_000


@pytest.mark.parametrize('path', LEAVES, ids=name)
def test_config__holds_a_whole_run(path: Path) -> None:
    config = Config.fromfile(path)
    assert config.train_cfg and config.optim_wrapper and config.train_dataloader.dataset.type
    assert config.train_dataloader.num_workers == 0 or config.train_dataloader.get('persistent_workers')
    assert {hook.type for hook in config.default_hooks.values()} >= {'CheckpointHook', 'LoggerHook'}
    scheduled = [scheduler.end for scheduler in config.param_scheduler]
    length = config.train_cfg.get('max_iters', config.train_cfg.get('max_epochs'))
    assert scheduled[-1] == length, 'the learning rate must be scheduled to the end of the run'


@pytest.mark.parametrize('path', BASES, ids=name)
def test_base__parses_alone(path: Path) -> None:
    assert len(Config.fromfile(path))


@pytest.mark.parametrize('path', LEAVES + BASES, ids=name)
def test_config__numbers_stand_inside(path: Path) -> None:
    """Learning rates, epochs and GPUs stand in the file, not in its name; a leaf is short."""
    assert not re.search(r'lr|ep\d|\d+e\b|\dx\d|gpu|bs\d', path.stem)
    if path in LEAVES:
        assert len(path.read_text(encoding='utf-8').splitlines()) <= 60
