"""Whole pretraining runs from the configs: what they write, how they go on, and how they stop."""

import gc
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fgdet.apis.training import train
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError
from tests.builders import ROOT, record, write_image, write_records

STAGE2 = ROOT / 'configs/pretrain/tiny_stage2.py'
#: A model and a run of seconds.
SMALL = {
    'model.clip.vision': dict(width=32, num_layers=2, num_heads=2, mlp_width=32, output_dim=16, patch_size=16),
    'model.clip.text': dict(width=32, num_layers=1, num_heads=2, mlp_width=32, output_dim=16),
    'train_dataloader.batch_size': 3,
    'train_cfg.max_iters': 4,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.logger.interval': 1,
}


@pytest.fixture(autouse=True)
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())


def run(name: str, config: Path = STAGE2, resume: str | None = None, **changes: Any) -> Path:
    """Train into the folder ``name``; double underscores in the names of ``changes`` are dots. Gives the checkpoint."""
    options = SMALL | {key.replace('__', '.'): value for key, value in changes.items()}
    return Path(train(config, work_dir=name, cfg_options=options, resume=resume)['checkpoint'])


def content(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint, weights_only=False)


def different(one: Any, two: Any, path: str = '') -> list[str]:
    """Where two nested values are not the same to the bit."""
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return [place for key in one for place in different(one[key], two[key], f'{path}.{key}')]
    if isinstance(one, list | tuple) and len(one) == len(two):
        return [
            place for i, pair in enumerate(zip(one, two, strict=True)) for place in different(*pair, f'{path}[{i}]')
        ]
    same = torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two
    return [] if same else [path]


def assert_same_run(one: Path, two: Path) -> None:
    first, second = content(one), content(two)
    for part in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
        assert not different(first.get(part), second.get(part), part)


def write_config(body: str) -> Path:
    path = Path('own.py')
    path.write_text(f'_base_ = [{str(STAGE2)!r}]\n{body}\n', encoding='utf-8')
    return path


def test_run__checkpoint_is_a_model_and_the_curves_are_written() -> None:
    checkpoint = run('out')
    assert checkpoint.name == 'iter_4.pth'
    model = FGCLIP.from_pretrained(checkpoint)
    state = {f'clip.{name}': value for name, value in model.state_dict().items()}
    assert not different(content(checkpoint)['state_dict'], state)

    (events,) = Path('out').rglob('events.out.tfevents.*')
    curves = EventAccumulator(str(events.parent))
    curves.Reload()
    names = {'loss', 'loss_long', 'loss_short', 'loss_region', 'loss_hard_negative', 'lr', 'samples_per_second'}
    assert names <= set(curves.Tags()['scalars'])
    assert [e.step for e in curves.Scalars('loss')] == [1, 2, 3, 4]
    assert all(math.isfinite(e.value) and e.value > 0 for name in names for e in curves.Scalars(name))


@pytest.mark.parametrize('workers', [0, 2])
def test_resume__continues_bit_for_bit_with_any_number_of_workers(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL', 0.1)  # of workers that are waited for
    loader = dict(train_dataloader__sampler__shuffle=True, train_dataloader__dataset__num_scenes=7)  # in two passes
    whole = run('whole', **loader)
    loader['train_dataloader__num_workers'] = workers
    run('parts', **loader, train_cfg__max_iters=2)
    assert_same_run(whole, run('parts', **loader, resume='auto'))
    gc.collect()


def test_ema__checkpoint_holds_the_average_and_a_resumed_run_continues_it() -> None:
    hook = dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.25)
    config = write_config(f'custom_hooks = [*_base_.custom_hooks, {hook!r}]')
    plain = run('plain', default_hooks__checkpoint__interval=1, default_hooks__checkpoint__max_keep_ckpts=4)
    steps = {i: content(plain.with_name(f'iter_{i}.pth'))['state_dict'] for i in (1, 2, 3, 4)}
    averaged = run('averaged', config)
    saved = content(averaged)
    assert not different(saved['ema_state_dict']['module.clip.logit_scale'], steps[4]['clip.logit_scale'])

    name = 'clip.visual.projection.weight'
    expected = steps[1][name]  # mmengine's average starts from the weights after the first step
    for i in (2, 3, 4):
        expected = 0.75 * expected + 0.25 * steps[i][name]
    torch.testing.assert_close(saved['state_dict'][name], expected, rtol=1e-5, atol=1e-7)

    run('parts', config, train_cfg__max_iters=2)
    assert_same_run(averaged, run('parts', config, resume='auto'))


def test_run__loss_that_is_no_number_stops_and_names_the_batch() -> None:
    with pytest.raises(UserError, match=r'^iteration 1: the loss is not finite .*non_finite_batch\.json') as caught:
        run('out', optim_wrapper__optimizer__lr=1e38, optim_wrapper__optimizer__muon_lr=1e38)
    assert '\n' not in str(caught.value)
    written = json.loads(Path('out/non_finite_batch.json').read_text())
    assert written['iteration'] == 1
    assert written['keys'] == ['shapes-0-3', 'shapes-0-4', 'shapes-0-5']
    assert written['losses'].keys() == {'loss_long', 'loss_short', 'loss_region', 'loss_hard_negative'}
    assert 'nan' in written['losses'].values()


def records_config(folder: Path, num_bad: int, **hook: Any) -> Path:
    """A run over 12 records, of which the first ``num_bad`` have no image."""
    write_image(folder / 'images/good.png')
    write_records(folder / 'records.jsonl', [record('none.png' if i < num_bad else 'good.png') for i in range(12)])
    pipeline = [
        dict(type='fgdet.LoadRegionTextImage'),
        dict(type='fgdet.ResizeRegionTextImage', size_hw=(96, 96)),
        dict(type='fgdet.TokenizeRegionText'),
        dict(type='fgdet.PackRegionTextInputs'),
    ]
    dataset = dict(
        _delete_=True,
        type='fgdet.RegionTextDataset',
        records=str(folder / 'records.jsonl'),
        image_root=str(folder / 'images'),
        pipeline=pipeline,
    )
    hooks = [dict(type='fgdet.SkippedRecordsHook', **hook), dict(type='fgdet.ThroughputHook')]
    return write_config(f'train_dataloader = dict(dataset={dataset!r})\ncustom_hooks = {hooks!r}')


def test_run__a_few_bad_records_are_logged_with_file_and_line(tmp_path: Path) -> None:
    run('out', records_config(tmp_path, 1))
    (log,) = Path('out').rglob('*.log')
    text = log.read_text(encoding='utf-8')
    assert f'skipped {tmp_path}/records.jsonl:1: image {tmp_path}/images/none.png does not exist' in text
    # 4 batches of 3; the record after the bad one stands in for it, and was then read again.
    assert 'records read: 13, skipped as bad: 1 (1 different ones)' in text


def test_run__too_many_bad_records_stop_it(tmp_path: Path) -> None:
    config = records_config(tmp_path, 4, max_share=0.25, min_records=6)
    with pytest.raises(
        UserError, match=r'^\d+ of the \d+ records read so far are bad, more than the allowed share of 0\.25'
    ):
        run('out', config)
    assert not list(Path('out').glob('*.pth'))


@pytest.mark.slow
def test_kill_and_resume__continues_bit_for_bit() -> None:
    """SIGKILL in the middle of the command, then ``--resume``: the same weights and optimiser as without."""
    settings = dict(batch_size=4, max_iters=12, interval=3)
    options = [
        'train_dataloader.batch_size={batch_size}',
        'train_cfg.max_iters={max_iters}',
        'default_hooks.checkpoint.interval={interval}',
    ]
    arguments = ['--cfg-options', *(option.format(**settings) for option in options)]

    def start(work_dir: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / 'tools/train.py'), str(STAGE2), '--work-dir', work_dir, *more, *arguments]
        # Sums in another order differ in the last bit, so the number of threads must not change.
        environment = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    killed = start('killed')
    deadline = time.monotonic() + 300
    while not Path('killed/last_checkpoint').is_file() and time.monotonic() < deadline:
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert Path('killed/iter_3.pth').is_file() and not Path('killed/iter_12.pth').is_file()

    assert start('killed', '--resume').wait(timeout=300) == 0
    assert start('whole').wait(timeout=300) == 0
    assert_same_run(Path('whole/iter_12.pth'), Path('killed/iter_12.pth'))
