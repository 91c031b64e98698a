"""A run that is killed ten times ends with the weights and the optimiser of one that never was, bit for bit.

Run it as a script to see each kill: ``PYTHONPATH=. python tests/apis/test_kill_and_resume.py [SEED] [KILLS]``.
"""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from fgdet.apis.staged_run import read_scalars
from tests.apis.test_pretraining_runs import assert_same_run
from tests.builders import ROOT, record, region, write_image, write_records

LENGTH, INTERVAL, NUM_RECORDS, TIMEOUT = 150, 5, 21, 600.0
CONFIG = f"""
_base_ = [{str(ROOT / 'configs/pretrain/tiny_stage2.py')!r}]
default_scope = None
model = dict(
    clip=dict(
        vision=dict(width=32, num_layers=2, num_heads=2, mlp_width=32, output_dim=16, patch_size=16),
        text=dict(width=32, num_layers=1, num_heads=2, mlp_width=32, output_dim=16),
    ),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=3,
    sampler=dict(shuffle=True),
    dataset=dict(
        _delete_=True,
        type='fgdet.RegionTextDataset',
        records='records.jsonl',
        image_root='.',
        pipeline=[
            dict(type='fgdet.LoadRegionTextImage'),
            dict(type='fgdet.ResizeRegionTextImage', size_hw=(96, 96)),
            dict(type='fgdet.FlipRegionTextImage', prob=0.5),
            dict(type='fgdet.TokenizeRegionText', max_regions=2),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
train_cfg = dict(max_iters={LENGTH})
default_hooks = dict(checkpoint=dict(interval={INTERVAL}, max_keep_ckpts=2), logger=dict(interval=1))
"""


def write_run(folder: Path) -> None:
    """Records with images, and a config that trains on them."""
    entries = []
    for i in range(NUM_RECORDS):
        write_image(folder / f'{i}.png', (40 + i, 60 - i), seed=i)
        regions = [region(short_expr=f'mug {i}'), region((0.1, 0.2, 0.5, 0.5)), region((0.3, 0.0, 0.9, 0.6))]
        texts = dict(caption=f'A long caption of image {i}.', short_caption=f'image {i}')
        entries.append(record(f'{i}.png', regions=regions[: 1 + i % 3], **texts))
    write_records(folder / 'records.jsonl', entries)
    (folder / 'run.py').write_text(CONFIG, encoding='utf-8')


def start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / 'tools/train.py'), 'run.py', '--work-dir', name, '--resume']
    # Sums in another order differ in the last bit, so the number of threads must not change.
    environment = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    console = (folder / f'{name}.console').open('wb')
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=console, stderr=subprocess.STDOUT)


def wait_for(process: subprocess.Popen[bytes], happened: object, what: str) -> None:
    """Wait until ``happened()``, looking a thousand times a second."""
    deadline = time.monotonic() + TIMEOUT
    while not happened():  # type: ignore[operator]
        assert process.poll() is None, f'the run ended before {what}'
        assert time.monotonic() < deadline, f'no {what} within {TIMEOUT} seconds'
        time.sleep(0.001)


def last_step(work_dir: Path) -> int:
    """The last iteration that any life of the run has logged."""
    return max((step['step'] for step in read_scalars(work_dir)), default=0)


def begun(work_dir: Path) -> list[Path]:
    """Checkpoints that are being written."""
    return list(work_dir.glob('.iter_*.tmp'))


def kill_once(folder: Path, kind: str, random_numbers: random.Random) -> str:
    """Start or go on, kill at a moment of a kind, and tell about it."""
    work_dir = folder / 'killed'
    lives = len(list(work_dir.glob('*/vis_data')))
    start_time = time.monotonic()
    process = start(folder, 'killed')
    if kind == 'start-up':
        time.sleep(random_numbers.uniform(0.1, 6.0))
    else:
        wait_for(process, lambda: len(list(work_dir.glob('*/vis_data/scalars.json'))) > 0, 'logged step')
        wait_for(process, lambda: len(list(work_dir.glob('*/vis_data'))) > lives, 'start')
        newest = max(work_dir.glob('*/vis_data')) / 'scalars.json'
        steps = random_numbers.randint(1, 25)
        wait_for(process, lambda: newest.is_file() and newest.read_text().count('\n') >= steps, f'step {steps}')
        if kind == 'checkpoint':
            wait_for(process, lambda: bool(begun(work_dir)), 'checkpoint')
        else:
            time.sleep(random_numbers.uniform(0.0, 0.1))
    process.send_signal(signal.SIGKILL)
    process.wait()
    seconds = time.monotonic() - start_time
    half = ', '.join(f'{path.name} ({path.stat().st_size} bytes)' for path in begun(work_dir))
    console = (folder / 'killed.console').read_text(errors='replace')
    resumed = re.findall(r'resumed epoch: \d+, iter: (\d+)', console)
    origin = f'which went on from {resumed[-1]}' if resumed else 'before any checkpoint was loaded'
    return (
        f'{kind}: {seconds:.2f} s after the start, {origin}; last logged iteration {last_step(work_dir)}; '
        f'half written: {half or "nothing"}'
    )


def kill_and_resume(folder: Path, seed: int = 0, kills: int = 10) -> None:
    """Kill, go on, and compare with a run that was left alone.

    Raises:
        AssertionError: the two runs differ, or no kill fell into the writing of a checkpoint.
    """
    write_run(folder)
    random_numbers = random.Random(seed)
    kinds = ['checkpoint'] * (kills * 3 // 10) + ['start-up'] * (kills // 10)
    kinds += ['step'] * (kills - len(kinds))
    random_numbers.shuffle(kinds)
    reports = []
    for number, kind in enumerate(kinds, 1):
        reports.append(kill_once(folder, kind, random_numbers))
        print(f'kill {number:2}, {reports[-1]}', flush=True)
    for name in ('killed', 'whole'):
        assert start(folder, name).wait(timeout=TIMEOUT) == 0, (folder / f'{name}.console').read_text()[-2000:]
    assert any('half written: .iter' in report for report in reports)
    assert not begun(folder / 'killed')
    assert_same_run(folder / f'whole/iter_{LENGTH}.pth', folder / f'killed/iter_{LENGTH}.pth')
    print(f'{kills} kills; weights, optimiser and schedules after {LENGTH} iterations are the same to the bit')


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_kill_and_resume__ten_kills_change_no_bit(tmp_path: Path) -> None:
    kill_and_resume(tmp_path)


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as temporary:
        kill_and_resume(Path(temporary), *(int(argument) for argument in sys.argv[1:]))
