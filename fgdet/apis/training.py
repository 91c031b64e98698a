"""Runs of mmengine from a config file: the logic of ``fgdet train``, ``fgdet test`` and the scripts in ``tools``."""

import errno
import inspect
import itertools
import math
import os
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner

from fgdet.checkpoints.loading import read_state_file
from fgdet.engine.hooks.complete_checkpoint import CompleteCheckpointHook
from fgdet.utils.checks import NonFiniteLossError, UserError, existing_file
from fgdet.utils.configs import read_config
from fgdet.utils.files import write_json

_RUN_NUMBERS = itertools.count(1)

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')

# What a runner reads from a config, beyond the arguments of its constructor.
_MORE_SETTINGS = (
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
)


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
        amp: compute in bfloat16 where the device can, else in float16 with a dynamic loss scale; needs a GPU.
        auto_scale_lr: scale the learning rate by the batch size of all devices over the config's
            ``auto_scale_lr.base_batch_size``.
        resume: a checkpoint to go on from, or ``'auto'`` for the latest one in ``work_dir`` (none there: start anew).
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
        _set_amp(cfg)
    if auto_scale_lr:
        _set_auto_scale_lr(cfg)
    if resume is not None:
        cfg.resume = True
        cfg.load_from = None if str(resume) == 'auto' else str(resume)
    _require(cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'train with')
    runner = _build_runner(cfg)
    if resume is not None:
        runner.register_hook(CompleteCheckpointHook(cfg.load_from or f'the last one in {runner.work_dir}'))
    try:
        with _explained(cfg):
            runner.train()
    except NonFiniteLossError as error:
        raise _record_non_finite(runner, error) from error
    return {
        'work_dir': runner.work_dir,
        'checkpoint': _last_checkpoint(runner.work_dir),
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
        _set_show_dir(cfg, Path(show_dir))
    _require(cfg, ('model', 'test_dataloader', 'test_evaluator', 'test_cfg'), 'test')
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
    cfg = config.copy() if isinstance(config, Config) else read_config(config)
    _merge_options(cfg, cfg_options or {})
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


def parse_cfg_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs as mmengine's configs do: numbers, true, false, none, and lists as ``[a,b]`` or ``a,b``.

    Spaces in a single value stay, as a path needs them.

    Raises:
        UserError: a pair has no ``=`` or no key.
    """
    for pair in pairs:
        if not pair.partition('=')[0] or '=' not in pair:
            raise UserError(f'--cfg-options {pair}: expected KEY=VALUE, such as train_cfg.max_epochs=12')
    if not pairs:
        return {}
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    options = parser.parse_args(['--cfg-options', *pairs]).cfg_options
    for key, _, text in (pair.partition('=') for pair in pairs):
        if isinstance(options[key], str) and not text.startswith(('[', '(')):
            options[key] = text.strip('\'"')  # mmengine takes the spaces out
    return options


def _merge_options(cfg: Config, options: Mapping[str, Any]) -> None:
    settings = sorted({*inspect.signature(_runner_class(cfg)).parameters, *_MORE_SETTINGS} - {'cfg'})
    for key, value in options.items():
        head = key.split('.')[0]
        if head not in settings:
            close = get_close_matches(head, settings, n=1)
            hint = f'did you mean {close[0]}?' if close else f'give one of {", ".join(settings)}, then what it holds'
            raise UserError(f'--cfg-options {key}={value}: a run reads no setting {head!r}; {hint}')
        try:
            cfg.merge_from_dict({key: value})
        except (KeyError, TypeError, IndexError) as error:
            raise UserError(f'--cfg-options {key}={value}: it does not fit the config ({error})') from error


def _runner_class(cfg: Config) -> type[Runner]:
    if 'runner_type' not in cfg:
        return Runner
    runner_class = RUNNERS.get(cfg.runner_type)
    if runner_class is None:
        raise UserError(f'config {cfg.filename}: no runner is registered as runner_type {cfg.runner_type!r}')
    return runner_class


def _set_amp(cfg: Config) -> None:
    if not torch.cuda.is_available():
        raise UserError('--amp: mixed precision needs a GPU, and torch sees none here; leave the option out')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if 'dtype' not in cfg.optim_wrapper:
        cfg.optim_wrapper.dtype = 'bfloat16' if torch.cuda.is_bf16_supported(including_emulation=False) else 'float16'
    # bfloat16 has float32's range: only float16 needs its gradients scaled.
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic' if cfg.optim_wrapper.dtype == 'float16' else 1.0)


def _set_auto_scale_lr(cfg: Config) -> None:
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise UserError(
            f'--auto-scale-lr: config {cfg.filename} does not say which batch size its learning rate is for; '
            'add auto_scale_lr = dict(enable=False, base_batch_size=16) with that size'
        )
    cfg.auto_scale_lr.enable = True


def _set_show_dir(cfg: Config, folder: Path) -> None:
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise UserError(
            f'show_dir {folder}: config {cfg.filename} has no hook to draw with; '
            "add default_hooks.visualization=dict(type='DetVisualizationHook')"
        )
    # The hook joins its folder to the run's again for every batch, which only an absolute path survives.
    hook.update(draw=True, test_out_dir=str(folder.resolve()))


def _build_runner(cfg: Config) -> Runner:
    if cfg.launcher != 'none' and int(os.environ.get('LOCAL_RANK', 0)) >= torch.cuda.device_count():
        raise UserError(
            f'launcher {cfg.launcher}: each process of a node needs a GPU of its own, and torch sees '
            f'{torch.cuda.device_count()}; start fewer, or run without a launcher'
        )
    if cfg.get('load_from') and '://' not in cfg.load_from:
        existing_file(cfg.load_from, 'checkpoint')
    # mmengine shares logger, message hub and visualizer between runs of one name, and tells names apart by the second.
    name = cfg.get('experiment_name') or (Path(cfg.filename).stem if cfg.filename else 'run')
    cfg.experiment_name = f'{name}_{next(_RUN_NUMBERS)}'
    if isinstance(cfg.get('visualizer'), dict):
        cfg.visualizer.name = cfg.experiment_name
    # mmengine's own loader falls back to running whatever code a checkpoint holds.
    CheckpointLoader.register_scheme(prefixes='', loader=_load_local, force=True)
    with _explained(cfg):
        return _runner_class(cfg).from_cfg(cfg)


def _require(cfg: Config, keys: Sequence[str], what: str) -> None:
    for key in keys:
        if cfg.get(key) is None:
            raise UserError(f'config {cfg.filename}: it has no {key}, so there is nothing to {what}')


@contextmanager
def _explained(cfg: Config) -> Iterator[None]:
    """Say in one line what a user can mend: an unknown type or argument, also of parts built late, and a full disk."""
    try:
        yield
    except (KeyError, TypeError) as error:
        message = ' '.join(str(error.args[0] if error.args else '').split())
        # the registry's words for an unknown type, Python's for an argument
        if any(words in message for words in ('is not in the', '__init__() got an unexpected', '__init__() missing')):
            raise UserError(f'config {cfg.filename}: {message}') from error
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(
                f'work_dir {cfg.work_dir}: its disk is full; free some space and go on with --resume'
            ) from error
        raise


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


def _load_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """mmengine's loader of local files, without executing anything from them.

    ``map_location`` is part of mmengine's signature; tensors stay on the CPU and go where they are copied to.
    """
    checkpoint = read_state_file(existing_file(Path(filename).expanduser(), 'checkpoint'))
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)  # mmengine < 0.1 wrote it, and resuming would execute it as Python
    return checkpoint


def _last_checkpoint(work_dir: str) -> str | None:
    pointer = Path(work_dir) / 'last_checkpoint'
    return pointer.read_text(encoding='utf-8').strip() if pointer.is_file() else None
