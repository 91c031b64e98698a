"""``fgdet test``: parse, call :func:`fgdet.apis.training.test`, print."""

from typing import Any

import click

from fgdet.cli.run_options import read_run_options, run_options


@click.command()
@click.argument('config')
@click.argument('checkpoint')
@click.option('--work-dir', help='Folder for the log.  [default: work_dirs/<config name>]')
@click.option('--out', help='Write the predictions to this .pkl file.')
@click.option('--show-dir', help='Draw the detections into this folder.')
@click.option('--submit', type=click.Choice(['coco', 'lvis']), help="Write the file for this benchmark's server.")
@click.option('--images', help="With --submit, the test set's image-info file, whose images are run.")
@click.option('--submit-out', help='With --submit, the file; in a folder, it gets the documented name.')
@click.option('--submit-type', type=click.Choice(['bbox', 'segm']), default='bbox', help='Boxes (default) or masks.')
@click.option('--submit-fix', is_flag=True, help='Clip, drop and sort what is safe, and say how many.')
@run_options
@click.option('--json', 'json_file', help='Write the metrics to this file.')
def command(
    config: str,
    checkpoint: str,
    more_options: tuple[str, ...],
    work_dir: str | None,
    out: str | None,
    show_dir: str | None,
    submit: str | None,
    images: str | None,
    submit_out: str | None,
    submit_type: str,
    submit_fix: bool,
    cfg_options: tuple[str, ...],
    launcher: str,
    local_rank: int | None,
    json_file: str | None,
) -> None:
    """Evaluate CHECKPOINT with the test set and the metrics of CONFIG."""
    from mmengine.dist import is_main_process

    from fgdet.apis.submission_run import test_and_submit
    from fgdet.apis.training import test
    from fgdet.cli.submit import show_written
    from fgdet.utils.files import check_output_file, write_json

    if json_file:
        check_output_file(json_file, '--json')
    options: dict[str, Any] = dict(
        work_dir=work_dir,
        out=out,
        show_dir=show_dir,
        cfg_options=read_run_options(cfg_options, more_options, local_rank),
        launcher=launcher,
    )
    submission = None
    if submit is None:
        metrics = test(config, checkpoint, **options)
    elif images is None or submit_out is None:
        raise click.UsageError('--submit needs --images and --submit-out')
    else:
        metrics, submission = test_and_submit(
            config, checkpoint, submit, images, submit_out, iou_type=submit_type, fix=submit_fix, **options
        )
    if not is_main_process():  # of several, one writes and prints
        return
    if json_file:
        write_json(json_file, metrics)
    for name, value in metrics.items():
        click.echo(f'{name:<32} {value}')
    if submission is not None:
        show_written(submission)
