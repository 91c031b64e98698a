"""Runs of two processes on the CPU: in mmengine's wrapper and fully sharded, against each other and one process."""

import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch.multiprocessing.spawn import spawn

from fgdet.apis.staged_run import read_scalars
from fgdet.apis.training import test as evaluate
from fgdet.apis.training import train
from fgdet.models.fg_clip import FGCLIP
from tests.builders import ROOT, record, region, write_image, write_records

#: Three steps of a tiny model; every second record, so all of rank 1's, has no region.
CONFIG = """
_base_ = [{stage!r}]
default_scope = None
log_level = 'WARNING'
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
small = dict(width=32, num_heads=2, mlp_width=32, output_dim=16, gradient_checkpointing=True)
model = dict(clip=dict(vision=dict(**small, num_layers=2, patch_size=16), text=dict(**small, num_layers=2)))
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        _delete_=True,
        type='fgdet.RegionTextDataset',
        records='records.jsonl',
        image_root='.',
        pipeline=[
            dict(type='fgdet.LoadRegionTextImage'),
            dict(type='fgdet.ResizeRegionTextImage', size_hw=(96, 96)),
            dict(type='fgdet.TokenizeRegionText'),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    # A larger epsilon than usual, so that Adam does not blow up the rounding of a gradient that is nearly zero.
    optimizer=dict(type='AdamW', lr=1e-3, eps=1e-4),
    clip_grad=dict(max_norm=0.5),
)
param_scheduler = None
train_cfg = dict(max_iters=3)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1), logger=dict(interval=1))
custom_hooks = []
"""
FSDP, ZERO2 = (
    Config.fromfile(ROOT / f'configs/_base_/strategies/{name}.py').to_dict() for name in ('fsdp', 'deepspeed_zero2')
)
SHARDED: dict[str, Any] = FSDP | {'strategy': FSDP['strategy'] | dict(param_dtype=None)}
SHORTER: dict[str, Any] = {'train_cfg.max_iters': 2}
#: Scores on the records of training, at the end of it; regions are told apart by names.
SCORED: dict[str, Any] = {
    f'{part}_{key}': value
    for part in ('val', 'test')
    for key, value in {
        'dataloader': dict(batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False)),
        'evaluator': dict(type='fgdet.RegionTextMetric'),
        'cfg': dict(type=f'{part.capitalize()}Loop'),
    }.items()
} | {'custom_hooks': [dict(type='fgdet.ClassTextsHook', names=['mug 0', 'mug 2', 'mug 4', 'mug 6', 'a red mug'])]}


def work(process: int, folder: str) -> None:
    """All runs of one of the two processes."""
    os.chdir(folder)
    torch.set_num_threads(1)
    place = dict(RANK=str(process), WORLD_SIZE='2', LOCAL_RANK=str(process), MASTER_ADDR='127.0.0.1')
    os.environ.update(place, MASTER_PORT=Path('port').read_text())

    def run(name: str, stage: int = 2, resume: str | None = None, **options: Any) -> None:
        train(f'stage{stage}.py', work_dir=name, launcher='pytorch', resume=resume, cfg_options=options)

    run('global', stage=1)
    run('wrapped')
    run('sharded', **SHARDED, **scored())
    run('parts', **SHARDED, **SHORTER)
    run('parts', **SHARDED, resume='auto')
    run('half', **FSDP)
    run('from_sharded', resume='sharded/iter_2.pth')
    if find_spec('deepspeed'):
        os.environ['DS_ACCELERATOR'] = 'cpu'
        run('zero', **ZERO2 | {'strategy': ZERO2['strategy'] | dict(bf16=None, inputs_to_half=None)})


def scored() -> dict[str, Any]:
    data = Config.fromfile('stage2.py').train_dataloader.dataset.to_dict()
    return SCORED | {
        f'{part}_dataloader': SCORED[f'{part}_dataloader'] | dict(dataset=data) for part in ('val', 'test')
    }


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what both processes have written."""
    folder = tmp_path_factory.mktemp('runs')
    entries = []
    for i in range(8):
        write_image(folder / f'{i}.png', seed=i)
        texts = dict(caption=f'A long caption of image {i}.', short_caption=f'image {i}')
        regions = [region(short_expr=f'mug {i}'), region((0.1, 0.2, 0.5, 0.5))] if i % 2 == 0 else []
        entries.append(record(f'{i}.png', regions=regions, **texts))
    write_records(folder / 'records.jsonl', entries)
    for stage in (1, 2):
        base = str(ROOT / f'configs/pretrain/tiny_stage{stage}.py')
        (folder / f'stage{stage}.py').write_text(CONFIG.format(stage=base), encoding='utf-8')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        (folder / 'port').write_text(str(free.getsockname()[1]))
    sys.path.insert(0, str(ROOT))  # the processes import this module by its name
    try:
        spawn(work, args=(str(folder),), nprocs=2)
    finally:
        sys.path.remove(str(ROOT))
    return folder


def state(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, weights_only=False)['state_dict']


def largest_difference(one: Path, two: Path) -> float:
    first, second = state(one), state(two)
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


def test_launcher__two_cpu_processes_equal_one_on_the_union(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact for the global loss, whose negatives come from all processes."""
    monkeypatch.chdir(runs)
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())
    train('stage1.py', work_dir='alone', cfg_options={'train_dataloader.batch_size': 4})
    assert largest_difference(runs / 'global/iter_3.pth', runs / 'alone/iter_3.pth') < 1e-5
    assert largest_difference(runs / 'global/iter_3.pth', runs / 'global/iter_1.pth') > 1e-3


def test_fsdp__equals_the_wrapped_model(runs: Path) -> None:
    for step in (1, 2, 3):
        assert largest_difference(runs / f'wrapped/iter_{step}.pth', runs / f'sharded/iter_{step}.pth') < 1e-5


def test_fsdp__scores_equal_those_of_its_checkpoint_in_one_process(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of classes are encoded too, outside of the model's forward pass."""
    monkeypatch.chdir(runs)
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())
    expected = evaluate('stage2.py', 'sharded/iter_3.pth', work_dir='scores', cfg_options=scored())
    logged = read_scalars(runs / 'sharded')
    found = [{name: step[name] for name in expected} for step in logged if 'region/top1' in step]
    assert found == [pytest.approx(expected)] and len(expected) > 12


def test_fsdp__a_resumed_run_equals_one_that_never_stopped(runs: Path) -> None:
    assert largest_difference(runs / 'sharded/iter_3.pth', runs / 'parts/iter_3.pth') == 0


def test_fsdp__a_run_without_sharding_goes_on_from_its_checkpoint(runs: Path) -> None:
    assert largest_difference(runs / 'sharded/iter_3.pth', runs / 'from_sharded/iter_3.pth') < 1e-5


def test_fsdp__checkpoint_is_a_model(runs: Path) -> None:
    model = FGCLIP.from_pretrained(runs / 'sharded/iter_3.pth')
    written = state(runs / 'sharded/iter_3.pth')
    assert all(torch.equal(written[f'clip.{name}'], value) for name, value in model.state_dict().items())


def test_fsdp__bfloat16_keeps_float32_weights_and_goes_the_same_way(runs: Path) -> None:
    half, whole = state(runs / 'half/iter_3.pth'), state(runs / 'sharded/iter_3.pth')
    start = state(runs / 'sharded/iter_1.pth')
    assert {value.dtype for value in half.values()} == {torch.float32}
    moved = torch.cat([(whole[name] - start[name]).flatten() for name in whole])
    other = torch.cat([(half[name] - start[name]).flatten() for name in whole])
    assert torch.cosine_similarity(moved, other, dim=0) > 0.95


@pytest.mark.skipif(not find_spec('deepspeed'), reason='an optional dependency')
def test_deepspeed__zero2_equals_the_wrapped_model(runs: Path) -> None:
    for step in (1, 2, 3):
        assert largest_difference(runs / f'wrapped/iter_{step}.pth', runs / f'zero/iter_{step}.pth/weights.pth') < 1e-5
    FGCLIP.from_pretrained(runs / 'zero/iter_3.pth/weights.pth')
