"""The options that ``fgdet train`` and ``fgdet test`` share."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import click

_OPTIONS = (
    click.argument('more_options', nargs=-1, metavar=''),
    click.option(
        '--cfg-options', multiple=True, metavar='KEY=VALUE ...', help='Settings that replace those of the config.'
    ),
    click.option(
        '--launcher',
        type=click.Choice(['none', 'pytorch', 'slurm', 'mpi']),
        default='none',
        show_default=True,
        help='What started the processes of a distributed run.',
    ),
    click.option('--local_rank', '--local-rank', type=int, hidden=True),
)


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``more_options``, ``cfg_options``, ``launcher`` and ``local_rank``, after its own arguments."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read_run_options(cfg_options: Sequence[str], more_options: Sequence[str], local_rank: int | None) -> dict[str, Any]:
    """The settings that replace the config's; tells the process its rank where a launcher gave it as an option.

    Raises:
        click.UsageError: there are arguments that no ``--cfg-options`` stands before.
    """
    from fgdet.apis.run_options import parse_cfg_options

    if more_options and not cfg_options:
        raise click.UsageError(f'unexpected argument: {more_options[0]}')
    if local_rank is not None:
        os.environ.setdefault('LOCAL_RANK', str(local_rank))
    return parse_cfg_options([*cfg_options, *more_options])
