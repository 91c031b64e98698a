"""Scripts that start the processes of a run: on one machine, on several, and under Slurm."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.builders import ROOT

TINY = [
    *('--cfg-options', 'train_cfg.max_iters=2', 'train_dataloader.batch_size=2', 'model.clip.vision.num_layers=1'),
    *('model.clip.text.num_layers=1', 'default_hooks.checkpoint.interval=2', 'default_hooks.logger.interval=1'),
]
STAGE2 = str(ROOT / 'configs/pretrain/tiny_stage2.py')


def start(command: list[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(('MASTER_', 'SLURM_'))}
    everything = inherited | {'PYTHON': sys.executable, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'} | environment
    return subprocess.Popen(
        command, cwd=folder, env=everything, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def free_port() -> str:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return str(free.getsockname()[1])


def finish(*processes: subprocess.Popen[str]) -> str:
    outputs = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs[0][-3000:]
    return outputs[0]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / 'out/iter_2.pth', weights_only=False)['state_dict']


@pytest.mark.parametrize(
    ('number', 'status', 'message'),
    [
        ('8', 1, '8 GPUs are asked for and this machine has 4; give 4, or choose others in CUDA_VISIBLE_DEVICES\n'),
        ('many', 1, "the number of GPUs is 'many'; give a whole number, 1 or more\n"),
        ('4', 0, ''),
    ],
)
def test_dist_train__says_in_one_line_that_gpus_are_missing(
    tmp_path: Path, number: str, status: int, message: str
) -> None:
    (tmp_path / 'torch').mkdir()
    (tmp_path / 'torch/__init__.py').write_text('class cuda:\n    device_count = staticmethod(lambda: 4)\n')
    (tmp_path / 'torch/distributed').mkdir()
    (tmp_path / 'torch/distributed/run.py').write_text('')  # what would start the processes
    process = start(['bash', str(ROOT / 'tools/dist_train.sh'), 'x.py', number], tmp_path, PYTHONPATH=str(tmp_path))
    assert (process.communicate(timeout=60)[0], process.returncode) == (message, status)


@pytest.mark.slow
def test_launchers__one_machine_two_machines_and_slurm_train_the_same(tmp_path: Path) -> None:
    """Two processes on the CPU, over gloo, each way."""
    folders = {name: tmp_path / name for name in ('one', 'two', 'slurm')}
    for folder in folders.values():
        folder.mkdir()
    script = str(ROOT / 'tools/dist_train.sh')
    options = ['--work-dir', 'out', *TINY]

    output = finish(start(['bash', script, STAGE2, '2', *options], folders['one']))
    assert 'torch sees no GPU: 2 processes on the CPU, over gloo' in output and 'GPU number: 2' in output
    assert output.count('iterations; last checkpoint: ') == 1

    place = dict(NNODES='2', MASTER_ADDR='127.0.0.1', PORT=free_port())
    command = ['bash', script, STAGE2, '1', *options]
    finish(*(start(command, folders['two'], NODE_RANK=str(rank), **place) for rank in range(2)))

    scontrol = tmp_path / 'scontrol'  # Slurm's own tells the names of a job's machines
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames node[1-2]" ] && echo 127.0.0.1 && echo node2\n')
    scontrol.chmod(0o755)
    place = dict(SLURM_NTASKS='2', SLURM_LOCALID='0', SLURM_NODELIST='node[1-2]', MASTER_PORT=free_port())
    place['PATH'] = f'{tmp_path}:{os.environ["PATH"]}'
    command = [sys.executable, str(ROOT / 'tools/train.py'), STAGE2, '--launcher', 'slurm', *options]
    finish(*(start(command, folders['slurm'], SLURM_PROCID=str(rank), **place) for rank in range(2)))

    expected = weights(folders['one'])
    for name in ('two', 'slurm'):
        state = weights(folders[name])
        assert all(torch.equal(value, state[key]) for key, value in expected.items())
