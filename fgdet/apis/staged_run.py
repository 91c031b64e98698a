"""Training runs as stages of one longer job: each in a process of its own, watched through the numbers that it logs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgdet.utils.checks import UserError

#: Seconds between two looks at a stage's numbers.
POLL_SECONDS = 0.5
# Waiting OpenMP threads sleep: where other programs want the cores too, spinning makes a step ten times as long.
_ENVIRONMENT = {'OMP_WAIT_POLICY': 'PASSIVE'}


@dataclass
class Stage:
    """A training run.

    Args:
        name: what the stage does, for people.
        config: its config file.
        work_dir: where it logs and saves.
        iterations: steps that it takes.
        options: dotted config keys and their values.
    """

    name: str
    config: Path
    work_dir: Path
    iterations: int
    options: dict[str, Any]


def run_stage(stage: Stage, on_progress: Callable[[float, str], None]) -> Path:
    """Train a stage to its end.

    Args:
        stage: what to run; its console output goes to ``console.log`` in its work_dir.
        on_progress: called with the share done (0 to 1) and a line about the last logged step.

    Returns:
        the last checkpoint.

    Raises:
        UserError: the run failed; the message holds its last line and names the log.
    """
    _run(stage, ['train', str(stage.config)], 'console.log', lambda: _report(stage, on_progress))
    return Path((stage.work_dir / 'last_checkpoint').read_text(encoding='utf-8').strip())


def score_stage(stage: Stage, checkpoint: Path) -> dict[str, Any]:
    """Evaluate a stage's checkpoint with its config's test set; the metrics by name.

    Raises:
        UserError: as for :func:`run_stage`.
    """
    scores = stage.work_dir / 'test_scores.json'
    arguments = ['test', str(stage.config), str(checkpoint), '--json', str(scores)]
    _run(stage, arguments, 'test_console.log', lambda: None)
    return json.loads(scores.read_text(encoding='utf-8'))


def schedule_options(iterations: int) -> dict[str, Any]:
    """Config options that stretch a leaf's warm-up and cosine (configs/_base_/schedules) to 2 or more steps."""
    warmup = min(40, max(1, iterations // 5))
    return {
        'train_cfg.max_iters': iterations,
        'param_scheduler.0.end': warmup,
        'param_scheduler.1.begin': warmup,
        'param_scheduler.1.end': iterations,
        'param_scheduler.1.T_max': iterations - warmup,
    }


def scene_options(data: Path, checkpoint: Path, seed: int) -> dict[str, Any]:
    """Config options that train a detector on generated scenes and score it once, at the end.

    Args:
        data: folder with ``train``, ``val`` and ``annotations``.
        checkpoint: the tower that it stands on.
        seed: of its training.
    """
    root = f'{data}/'
    return {
        'randomness.seed': seed,
        'model.backbone.checkpoint': str(checkpoint),
        'model.class_embeddings.checkpoint': str(checkpoint),
        'train_dataloader.dataset.data_root': root,
        'val_dataloader.dataset.data_root': root,
        'test_dataloader.dataset.data_root': root,
        'val_evaluator.ann_file': f'{root}annotations/val.json',
        'test_evaluator.ann_file': f'{root}annotations/val.json',
        'train_cfg.val_interval': 1_000_000,
    }


def read_scalars(work_dir: Path) -> list[dict[str, Any]]:
    """The steps that a run has logged so far, oldest first; a half-written last line is left out."""
    steps = []
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text(encoding='utf-8').splitlines():
            try:
                steps.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return steps


def _run(stage: Stage, arguments: list[str], log_name: str, on_poll: Callable[[], None]) -> None:
    """Run an fgdet command on a stage's folder and options in a process of its own, and end it if we are ended."""
    stage.work_dir.mkdir(parents=True, exist_ok=True)
    log = stage.work_dir / log_name
    command = [sys.executable, '-m', 'fgdet.cli.main', *arguments, '--work-dir', str(stage.work_dir)]
    if stage.options:
        command += ['--cfg-options', *(f'{key}={_as_option(value)}' for key, value in stage.options.items())]
    with log.open('w') as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=_ENVIRONMENT | os.environ
        )
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                on_poll()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        lines = [line for line in log.read_text(errors='replace').splitlines() if line.strip()]
        last = lines[-1].removeprefix('fgdet: error: ') if lines else 'it printed nothing'
        raise UserError(f'{stage.name} failed: {last} (its whole output: {log})')


def _report(stage: Stage, on_progress: Callable[[float, str], None]) -> None:
    steps = [step for step in read_scalars(stage.work_dir) if 'loss' in step]
    if steps:
        step = steps[-1]['step']
        on_progress(min(step / stage.iterations, 1.0), f'step {step}/{stage.iterations}, loss {steps[-1]["loss"]:.3f}')


def _as_option(value: Any) -> str:
    """A value as mmengine's option parser reads it."""
    if isinstance(value, (list, tuple)):
        return '[' + ','.join(_as_option(item) for item in value) + ']'
    return str(value)
