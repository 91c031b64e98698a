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


@pytest.mark.parametrize('path', sorted((CONFIGS / 'pretrain').glob('*.py')), ids=name)
def test_pretraining__images_have_the_models_size_and_what_is_validated_is_judged(path: Path) -> None:
    config = Config.fromfile(path)
    loaders = [config[f'{part}_dataloader'] for part in ('train', 'val', 'test') if f'{part}_dataloader' in config]
    sizes = {tuple(step.size_hw) for loader in loaders for step in loader.dataset.pipeline if 'size_hw' in step}
    side = config.model.clip.vision.image_size
    assert sizes <= {(side // 2, side // 2) if path.stem.endswith('_short') else (side, side)}
    assert ('val_dataloader' in config) == bool(config.default_hooks.checkpoint.get('save_best'))
    if 'val_dataloader' in config:
        assert config.default_hooks.checkpoint.rule == 'greater'
        assert config.train_cfg.val_interval < config.train_cfg.max_iters
        assert all(step.get('long_share', 0) == 0 for step in config.val_dataloader.dataset.pipeline)


@pytest.mark.parametrize(
    ('stem', 'batch', 'iterations', 'lr', 'decay'),
    [
        # FG-CLIP, scripts/train.sh; one pass over 12 million images in steps of 8 x 512.
        ('vit_b16_224_stage2', 512, 12e6 / 4096, 1e-6, 0.001),
        ('vit_b16_224_stage2_official', 512, 12e6 / 4096, 1e-6, 0.001),
        ('vit_l14_336_stage2', 512, 12e6 / 4096, 1e-6, 0.001),
        # arXiv 2505.05071, section 4.1: 384 images a device, 1.6 billion images.
        ('vit_b16_224_stage1', 384, 1.6e9 / 3072, 1e-4, 0.05),
        ('vit_l14_336_stage1', 384, 1.6e9 / 3072, 1e-4, 0.05),
        # A batch that is n times smaller: a learning rate that is sqrt(n) times smaller.
        ('vit_b16_224_stage1_single', 384, 12e6 / 384, 1e-4 / 8**0.5, 0.05),
        ('vit_l14_336_stage1_single', 384, 12e6 / 384, 1e-4 / 8**0.5, 0.05),
        ('vit_b16_224_stage2_single', 512, 12e6 / 512, 1e-6 / 8**0.5, 0.001),
        ('vit_l14_336_stage2_single', 256, 12e6 / 256, 1e-6 / 16**0.5, 0.001),
    ],
)
def test_preset__numbers_are_the_published_ones_or_follow_from_them(
    stem: str, batch: int, iterations: float, lr: float, decay: float
) -> None:
    config = Config.fromfile(CONFIGS / f'pretrain/{stem}.py')
    assert config.train_dataloader.batch_size == batch
    assert config.train_cfg.max_iters == pytest.approx(iterations, abs=1)
    assert config.optim_wrapper.type == 'fgdet.Bfloat16OptimWrapper'
    assert config.optim_wrapper.optimizer.lr == pytest.approx(lr, rel=0.02)
    assert config.optim_wrapper.optimizer.weight_decay == decay
    warmup, cosine = config.param_scheduler
    images = warmup.end * batch * (1 if stem.endswith('_single') else 8)
    assert images == pytest.approx(200 * 8 * (384 if 'stage1' in stem else 512), abs=batch)
    assert (cosine.begin, cosine.T_max) == (warmup.end, config.train_cfg.max_iters - warmup.end)
    if 'stage2' in stem:
        assert (config.model.region_loss.loss_weight, config.model.hard_negative_loss.loss_weight) == (0.1, 0.5)


@pytest.mark.parametrize('path', BASES, ids=name)
def test_base__parses_alone(path: Path) -> None:
    assert len(Config.fromfile(path))


@pytest.mark.parametrize('path', LEAVES + BASES, ids=name)
def test_config__numbers_stand_inside(path: Path) -> None:
    """Learning rates, epochs and GPUs stand in the file, not in its name; a leaf is short."""
    assert not re.search(r'lr|ep\d|\d+e\b|\dx\d|gpu|bs\d', path.stem)
    if path in LEAVES:
        assert len(path.read_text(encoding='utf-8').splitlines()) <= 60
