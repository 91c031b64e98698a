"""What the options of ``fgdet train`` and ``fgdet test`` change in a config."""

import inspect
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from fgdet.utils.checks import UserError

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


def merge_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Merge dotted keys and their values into a config.

    Raises:
        UserError: a run reads no such setting, or the value does not fit the config.
    """
    for key, value in options.items():
        settings = sorted({*inspect.signature(runner_class(cfg)).parameters, *_MORE_SETTINGS} - {'cfg'})
        head = key.split('.')[0]
        if head not in settings:
            close = get_close_matches(head, settings, n=1)
            hint = f'did you mean {close[0]}?' if close else f'give one of {", ".join(settings)}, then what it holds'
            raise UserError(f'--cfg-options {key}={value}: a run reads no setting {head!r}; {hint}')
        try:
            cfg.merge_from_dict({key: value})
        except (KeyError, TypeError, IndexError) as error:
            raise UserError(f'--cfg-options {key}={value}: it does not fit the config ({error})') from error


def runner_class(cfg: Config) -> type[Runner]:
    """The config's ``runner_type``, mmengine's plain runner by default.

    Raises:
        UserError: no such runner is registered.
    """
    if 'runner_type' not in cfg:
        return Runner
    registered = RUNNERS.get(cfg.runner_type)
    if registered is None:
        raise UserError(f'config {cfg.filename}: no runner is registered as runner_type {cfg.runner_type!r}')
    return registered


def set_amp(cfg: Config) -> None:
    """Let a run compute in bfloat16, or in float16 with a scaled loss on a GPU without it.

    Raises:
        UserError: the config's strategy has a precision of its own.
    """
    if cfg.get('strategy'):
        raise UserError(
            f'--amp: config {cfg.filename} runs with a strategy, which has its own setting: '
            '--cfg-options strategy.param_dtype=bfloat16 (FSDP) or strategy.bf16.enabled=True (DeepSpeed)'
        )
    half = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False)
    if half or cfg.optim_wrapper.get('dtype') == 'float16':
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='float16')
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    else:
        cfg.optim_wrapper.type = 'fgdet.Bfloat16OptimWrapper'
        for key in ('dtype', 'loss_scale'):
            cfg.optim_wrapper.pop(key, None)


def set_auto_scale_lr(cfg: Config) -> None:
    """Let a run scale its learning rate by its batch size.

    Raises:
        UserError: the config does not say which batch size its learning rate is for.
    """
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise UserError(
            f'--auto-scale-lr: config {cfg.filename} does not say which batch size its learning rate is for; '
            'add auto_scale_lr = dict(enable=False, base_batch_size=16) with that size'
        )
    cfg.auto_scale_lr.enable = True


def set_show_dir(cfg: Config, folder: Path) -> None:
    """Let a run draw its detections into a folder.

    Raises:
        UserError: the config has no hook to draw with.
    """
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise UserError(
            f'show_dir {folder}: config {cfg.filename} has no hook to draw with; '
            "add default_hooks.visualization=dict(type='DetVisualizationHook')"
        )
    # The hook joins its folder to the run's again for every batch, which only an absolute path survives.
    hook.update(draw=True, test_out_dir=str(folder.resolve()))
