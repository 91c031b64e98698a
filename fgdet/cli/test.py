"""``fgdet test``: parse, call :func:`fgdet.apis.training.test`, print."""

import os

import click


@click.command()
@click.argument('config')
@click.argument('checkpoint')
@click.argument('more_options', nargs=-1, metavar='')
@click.option('--work-dir', help='Folder for the log.  [default: work_dirs/<config name>]')
@click.option('--out', help='Write the predictions to this .pkl file.')
@click.option('--show-dir', help='Draw the detections into this folder.')
@click.option(
    '--cfg-options', multiple=True, metavar='KEY=VALUE ...', help='Settings that replace those of the config.'
)
@click.option(
    '--launcher',
    type=click.Choice(['none', 'pytorch', 'slurm', 'mpi']),
    default='none',
    show_default=True,
    help='What started the processes of a distributed run.',
)
@click.option('--local_rank', '--local-rank', type=int, hidden=True)
@click.option('--json', 'json_file', help='Write the metrics to this file.')
def command(
    config: str,
    checkpoint: str,
    more_options: tuple[str, ...],
    work_dir: str | None,
    out: str | None,
    show_dir: str | None,
    cfg_options: tuple[str, ...],
    launcher: str,
    local_rank: int | None,
    json_file: str | None,
) -> None:
    """Evaluate CHECKPOINT with the test set and the metrics of CONFIG."""
    from fgdet.apis.training import parse_cfg_options, test
    from fgdet.utils.files import write_json

    if more_options and not cfg_options:
        raise click.UsageError(f'unexpected argument: {more_options[0]}')
    if local_rank is not None:
        os.environ.setdefault('LOCAL_RANK', str(local_rank))
    metrics = test(
        config,
        checkpoint,
        work_dir=work_dir,
        out=out,
        show_dir=show_dir,
        cfg_options=parse_cfg_options([*cfg_options, *more_options]),
        launcher=launcher,
    )
    if json_file:
        write_json(json_file, metrics)
    for name, value in metrics.items():
        click.echo(f'{name:<32} {value}')
