"""``fgdet train``: parse, call :func:`fgdet.apis.training.train`, print."""

import click

from fgdet.cli.run_options import read_run_options, run_options


@click.command()
@click.argument('config')
@click.option('--work-dir', help='Folder for logs and checkpoints.  [default: work_dirs/<config name>]')
@click.option('--amp', is_flag=True, help='Mixed precision: bfloat16 where the GPU can, else float16.')
@click.option('--auto-scale-lr', is_flag=True, help='Scale the learning rate with the batch size of all GPUs.')
@click.option(
    '--resume',
    is_flag=False,
    flag_value='auto',
    metavar='[CHECKPOINT|auto]',
    help='Go on from a checkpoint; without a value, from the latest in the work dir.',
)
@run_options
@click.option('--json', 'json_file', help='Write what was done, and where it lies, to this file.')
def command(
    config: str,
    more_options: tuple[str, ...],
    work_dir: str | None,
    amp: bool,
    auto_scale_lr: bool,
    resume: str | None,
    cfg_options: tuple[str, ...],
    launcher: str,
    local_rank: int | None,
    json_file: str | None,
) -> None:
    """Run the training that CONFIG describes."""
    from mmengine.dist import is_main_process

    from fgdet.apis.training import train
    from fgdet.utils.files import write_json

    result = train(
        config,
        work_dir=work_dir,
        amp=amp,
        auto_scale_lr=auto_scale_lr,
        resume=resume,
        cfg_options=read_run_options(cfg_options, more_options, local_rank),
        launcher=launcher,
    )
    if not is_main_process():  # of several, one writes and prints
        return
    if json_file:
        write_json(json_file, result)
    click.echo(f'trained {result["iterations"]} iterations; last checkpoint: {result["checkpoint"] or "none written"}')
