"""``fgdet test``: parse, call :func:`fgdet.apis.training.test`, print."""

import click

from fgdet.cli.run_options import read_run_options, run_options


@click.command()
@click.argument('config')
@click.argument('checkpoint')
@click.option('--work-dir', help='Folder for the log.  [default: work_dirs/<config name>]')
@click.option('--out', help='Write the predictions to this .pkl file.')
@click.option('--show-dir', help='Draw the detections into this folder.')
@run_options
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
    from mmengine.dist import is_main_process

    from fgdet.apis.training import test
    from fgdet.utils.files import write_json

    metrics = test(
        config,
        checkpoint,
        work_dir=work_dir,
        out=out,
        show_dir=show_dir,
        cfg_options=read_run_options(cfg_options, more_options, local_rank),
        launcher=launcher,
    )
    if not is_main_process():  # of several, one writes and prints
        return
    if json_file:
        write_json(json_file, metrics)
    for name, value in metrics.items():
        click.echo(f'{name:<32} {value}')
