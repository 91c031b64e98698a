"""``fgdet sweep``: parse, call :func:`fgdet.apis.sweep.sweep`, print."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

_COLUMNS = ('alpha', 'beta', 'temperature', 'base_ap50', 'novel_ap50', 'all_ap50', 'harmonic')


@click.command()
@click.argument('config')
@click.argument('checkpoint')
@click.option('--alpha', default='0:1:0.05', show_default=True, help='Weights for base classes: FROM:TO:STEP or a,b,c.')
@click.option('--beta', default='0:1:0.05', show_default=True, help='Weights for novel classes.')
@click.option('--temperature', help="Of the softmax.  [default: 0.5, 0.7, 1, 1.4 and 2 times the config's]")
@click.option('--out', required=True, help='Folder for sweep.json, sweep.png, best_config.py and the records.')
@click.option(
    '--criterion',
    type=click.Choice(['harmonic', 'novel_ap50', 'base_ap50', 'all_ap50']),
    default='harmonic',
    show_default=True,
    help='What the best setting has most of; harmonic: the mean of base and novel.',
)
@click.option('--max-images', type=int, help='Only the first so many images.')
@click.option('--top', type=click.IntRange(1), default=10, show_default=True, help='Rows of the table to print.')
@click.option('--cfg-options', multiple=True, metavar='KEY=VALUE', help="Settings that replace the config's.")
@click.option('--device', default='auto', show_default=True, help='cpu, cuda, cuda:1 ...')
@click.option('--json', 'json_file', help='Write the whole table to this file too.')
def command(
    config: str,
    checkpoint: str,
    alpha: str,
    beta: str,
    temperature: str | None,
    out: str,
    criterion: str,
    max_images: int | None,
    top: int,
    cfg_options: tuple[str, ...],
    device: str,
    json_file: str | None,
) -> None:
    """Find the weights of a detector's score ensemble on its validation set, which is run once."""
    from fgdet.apis.run_options import parse_cfg_options
    from fgdet.apis.sweep import Grid, sweep
    from fgdet.cli.progress import PartsProgress
    from fgdet.utils.files import write_json

    temperatures = _numbers('temperature', temperature) if temperature else None
    grid = Grid(_numbers('alpha', alpha), _numbers('beta', beta), temperatures)
    with PartsProgress({'run': 0.8, 'settings': 0.2}) as progress:
        result = sweep(
            config,
            checkpoint,
            out,
            grid,
            criterion=criterion,
            max_images=max_images,
            cfg_options=parse_cfg_options(cfg_options),
            device=device,
            report=lambda part, share: progress.update(part, share, ''),
        )
    if json_file:
        write_json(json_file, result)
    best_first = sorted(result['table'], key=lambda each: -each[criterion])
    click.echo(f'{len(best_first)} settings on {result["images"]} images of {result["annotation_file"]}')
    click.echo(' '.join(f'{name:>11}' for name in _COLUMNS))
    _print_rows(best_first[:top])
    click.echo("the config's own:")
    _print_rows([result['config']])
    if result['calibration']:
        found = result['calibration']
        click.echo(
            f'calibration: scale {found["scale"]:.3f}, bias {found["bias"]:.3f}; expected calibration error '
            f'{found["error_before"]:.3f} before, {found["error_after"]:.3f} after, on the same images'
        )
    click.echo(f'chosen by {criterion}: {out}/best_config.py; these images are no test set for it any more')


def _numbers(name: str, text: str) -> list[float]:
    """``0:1:0.25`` or ``0.2,0.4`` -> numbers."""
    from fgdet.utils.checks import UserError

    try:
        if ':' not in text:
            return [float(part) for part in text.split(',')]
        first, last, step = (float(part) for part in text.split(':'))
        return [round(first + index * step, 10) for index in range(int((last - first) / step + 1e-9) + 1)]
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise UserError(f'--{name} {text}: expected FROM:TO:STEP or numbers between commas') from error


def _print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        click.echo(' '.join(f'{row[name] * (1 if name in _COLUMNS[:3] else 100):>11.4g}' for name in _COLUMNS))
