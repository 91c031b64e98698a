"""Runs of mmengine from a config file: the logic of ``fgdet train``, ``fgdet test`` and the scripts in ``tools``."""

import errno
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from traceback import walk_tb
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, broadcast_object_list
from mmengine.runner import BaseLoop, Runner

from fgdet.apis.processes import LAUNCHERS, join_processes
from fgdet.apis.run_checkpoints import (
    check_source,
    find_complete_checkpoint,
    last_checkpoint,
    remove_unfinished,
    use_safe_files,
)
from fgdet.apis.run_options import merge_options, runner_class, set_amp, set_auto_scale_lr, set_show_dir
from fgdet.engine.hooks.compile_modules import CompileModulesHook
from fgdet.engine.hooks.complete_checkpoint import CompleteCheckpointHook
from fgdet.utils.checks import NonFiniteLossError, UserError
from fgdet.utils.configs import read_config
from fgdet.utils.files import write_json

_RUN_NUMBERS = itertools.count(1)


def train(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    resume: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
) -> dict[str, Any]:
    """Run the training that a config describes.

    Args:
        config: the config file, or a loaded config, which is left as it was.
        work_dir: where logs and checkpoints go; the config's own ``work_dir``, else ``work_dirs/<config name>``.
        amp: compute in bfloat16 where the device can (every CPU can), else in float16 with a dynamic loss scale; the
            weights stay in float32.
        auto_scale_lr: scale the learning rate by the batch size of all devices over the config's
            ``auto_scale_lr.base_batch_size``.
        resume: a checkpoint to go on from, or ``'auto'`` for the newest complete one in ``work_dir`` (none there: start
            anew).
        cfg_options: dotted keys and their values, merged into the config.
        launcher: what started the processes of a distributed run: one of ``LAUNCHERS``.

    Returns:
        ``work_dir``; ``checkpoint``, the last one written, or None; ``epochs`` and ``iterations`` done since the very
        beginning; ``seconds`` of this call.

    Raises:
        UserError: the config, an option or a checkpoint is wrong in a way that the message says how to mend; the disk
            is full; or the loss is no longer a number, and ``non_finite_batch.json`` in the work_dir names the batch.
    """
    start = time.perf_counter()
    cfg = load_config(config, work_dir, cfg_options, launcher)
    if amp:
        set_amp(cfg)
    if auto_scale_lr:
        set_auto_scale_lr(cfg)
    if resume is not None:
        cfg.resume, cfg.load_from = str(resume) != 'auto', None if str(resume) == 'auto' else str(resume)
    _require(cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'train with')
    runner = _build_runner(cfg)
    if str(resume) == 'auto':
        _go_on_from_newest(runner)
    if resume is not None and not Path(str(runner._load_from)).is_dir():  # DeepSpeed checks its folders itself
        runner.register_hook(CompleteCheckpointHook(str(runner._load_from)))
    try:
        with _explained(cfg):
            runner.train()
    except NonFiniteLossError as error:
        raise _record_non_finite(runner, error) from error
    barrier()  # the first process writes the last checkpoint
    last = last_checkpoint(runner.work_dir)
    return {
        'work_dir': runner.work_dir,
        'checkpoint': str(last) if last else None,
        'epochs': runner.epoch,
        'iterations': runner.iter,
        'seconds': time.perf_counter() - start,
    }


def test(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    show_dir: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
) -> dict[str, Any]:
    """Evaluate a checkpoint with the test set and the metrics of a config.

    Args:
        config: the config file, or a loaded config, which is left as it was.
        checkpoint: the weights to evaluate.
        work_dir: where the log goes; the config's own ``work_dir``, else ``work_dirs/<config name>``.
        out: a ``.pkl`` file to write the predictions to.
        show_dir: a folder for pictures of the detections; the config needs mmdet's visualization hook.
        cfg_options: dotted keys and their values, merged into the config.
        launcher: what started the processes of a distributed run: one of ``LAUNCHERS``.

    Returns:
        The value of each metric by name.

    Raises:
        UserError: the config, an option or a checkpoint is wrong in a way that the message says how to mend.
    """
    cfg = load_config(config, work_dir, cfg_options, launcher)
    cfg.resume, cfg.load_from = False, str(checkpoint)
    if out is not None and Path(out).suffix not in {'.pkl', '.pickle'}:
        raise UserError(f'out {out}: predictions are pickled; give a file that ends in .pkl')
    if show_dir is not None:
        set_show_dir(cfg, Path(show_dir))
    _require(cfg, ('model', 'test_dataloader', 'test_evaluator', 'test_cfg'), 'test')
    training = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
    if any(cfg.get(key) is None for key in training[:3]):  # mmengine wants all of them or none
        for key in training:
            cfg.pop(key, None)
    runner = _build_runner(cfg)
    runner.register_hook(CompleteCheckpointHook(str(checkpoint)))
    if out is not None:
        from mmdet.evaluation import DumpDetResults  # mmdet is heavy, and only this option needs it here

        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=str(out)))
    with _explained(cfg):
        return runner.test()


def load_config(
    config: str | Path | Config,
    work_dir: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
) -> Config:
    """Read a config file, merge the options into it and settle its ``work_dir`` and ``launcher``.

    Raises:
        UserError: the file is missing or is no valid config, an option fits nothing in it, or there is no work_dir.
    """
    cfg = deepcopy(config) if isinstance(config, Config) else read_config(config)
    merge_options(cfg, cfg_options or {})
    if launcher not in LAUNCHERS:
        raise UserError(f'launcher {launcher!r}: choose one of {", ".join(LAUNCHERS)}')
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None:
        if cfg.filename is None:
            raise UserError('work_dir: neither the argument nor the config gives one')
        cfg.work_dir = str(Path('work_dirs') / Path(cfg.filename).stem)
    return cfg


def _build_runner(cfg: Config) -> Runner:
    if cfg.get('load_from'):
        check_source(cfg.load_from)
    join_processes(cfg.launcher)
    if cfg.launcher != 'none' and not torch.cuda.is_available():  # mmengine's wrapper takes a GPU's number only
        wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)
        wrapper['find_unused_parameters'] = cfg.get('find_unused_parameters', False)
        cfg.model_wrapper_cfg = wrapper | dict(cfg.get('model_wrapper_cfg') or {})
    # mmengine shares logger, message hub and visualizer between runs of one name, and tells names apart by the second.
    name = cfg.get('experiment_name') or (Path(cfg.filename).stem if cfg.filename else 'run')
    cfg.experiment_name = f'{name}_{next(_RUN_NUMBERS)}'
    if isinstance(cfg.get('visualizer'), dict):
        cfg.visualizer.name = cfg.experiment_name
    use_safe_files()
    compiled = cfg.pop('compile', False)  # mmengine would compile the whole step, anew for each batch
    with _explained(cfg):
        runner = runner_class(cfg).from_cfg(cfg)
    if compiled:
        runner.register_hook(CompileModulesHook(**(compiled if isinstance(compiled, dict) else {})))
    return runner


def _go_on_from_newest(runner: Runner) -> None:
    """Let a run start from its newest complete checkpoint, which rank 0 chooses, and tell which ones are damaged."""
    choice: list[Any] = [None, []]
    if runner.rank == 0:
        remove_unfinished(runner.work_dir)
        choice = list(find_complete_checkpoint(runner.work_dir))
    broadcast_object_list(choice)
    newest, damaged = choice
    for path in damaged:
        runner.logger.warning(f'checkpoint {path} is damaged and passed over; going on from {newest or "the start"}')
    runner._resume, runner._load_from = newest is not None, str(newest) if newest else None


def _require(cfg: Config, keys: Sequence[str], what: str) -> None:
    for key in keys:
        if cfg.get(key) is None:
            raise UserError(f'config {cfg.filename}: it has no {key}, so there is nothing to {what}')


@contextmanager
def _explained(cfg: Config) -> Iterator[None]:
    """Say in one line what a user can mend: a type, an argument or a value in the config, and a full disk."""
    try:
        yield
    except Exception as error:
        message = _what_to_mend(error, cfg)
        if message is None:
            raise
        raise UserError(message) from error


def _what_to_mend(error: Exception, cfg: Config) -> str | None:
    line = ' '.join(str(error.args[0] if error.args else '').split())
    if isinstance(error, UserError):  # from a process that loads data it comes with its place in the code
        return line.rpartition('UserError: ')[2] if 'Original Traceback' in line else None
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    if isinstance(error, KeyError) and frames[-1].f_code.co_name == '_save_best_checkpoint':
        scores = ', '.join(frames[-1].f_locals.get('metrics', ()))
        return f'config {cfg.filename}: default_hooks.checkpoint.save_best: no score {line!r}; choose from {scores}'
    # the registry's words for an unknown type, Python's for an argument
    known = any(words in line for words in ('is not in the', '__init__() got an unexpected', '__init__() missing'))
    # before the loop over the data begins, parts are made of what the config says
    begun = any(each.f_code.co_name == 'run' and isinstance(each.f_locals.get('self'), BaseLoop) for each in frames)
    if known if isinstance(error, KeyError | TypeError) else isinstance(error, ValueError) and not begun:
        return f'config {cfg.filename}: {line}'
    if isinstance(error, RuntimeError) and line.startswith('DataLoader worker'):
        return (
            f'work_dir {cfg.work_dir}: a process that loads data was ended ({line.rstrip(" .")}), mostly for want of '
            'memory; lower train_dataloader.num_workers or batch_size, and go on with --resume'
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f'work_dir {cfg.work_dir}: its disk is full; free some space and go on with --resume'
    return None


def _record_non_finite(runner: Runner, error: NonFiniteLossError) -> UserError:
    """Write down the batch that a loss failed on; gives the error that says where."""
    name = 'non_finite_batch.json' if runner.rank == 0 else f'non_finite_batch_rank{runner.rank}.json'
    path = Path(runner.work_dir) / name
    losses = {term: value if math.isfinite(value) else str(value) for term, value in error.losses.items()}
    write_json(path, {'iteration': runner.iter, 'losses': losses, 'keys': error.keys})
    return UserError(
        f'iteration {runner.iter}: {error}; {path} lists them: look for bad data, or lower the learning rate and '
        'resume from the last checkpoint'
    )
