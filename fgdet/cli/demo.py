"""``fgdet demo``: parse, call :func:`fgdet.apis.demo.run_demo`, print."""

import click

#: About how many seconds each part takes on two cores; the bar's shares.
SHARES = {
    'global loss': 60.0,
    'region loss': 85.0,
    'hard negatives': 135.0,
    'scenes': 6.0,
    'detector': 130.0,
    'evaluation': 20.0,
    'report': 6.0,
}


@click.command()
@click.option('--out', default='work_dirs/demo', show_default=True, help='Folder for everything that the demo makes.')
@click.option('--quick', is_flag=True, help='A few steps of each part, in about two minutes; the scores say nothing.')
@click.option('--seed', default=0, show_default=True, help='Seed of the scenes and of training.')
@click.option('--json', 'json_file', help='Write the metrics to this file too.')
def command(out: str, quick: bool, seed: int, json_file: str | None) -> None:
    """Pretrain, train a detector on base classes, find novel ones by name, and show it all in report.html."""
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from fgdet.apis.demo import run_demo
    from fgdet.cli.progress import PartsProgress
    from fgdet.utils.files import write_json

    with PartsProgress(SHARES) as progress:
        metrics = run_demo(out, quick, progress.update, seed)
    if json_file:
        write_json(json_file, metrics)
    table = Table(title='fgdet demo' + (' (quick: the scores say nothing)' if quick else ''))
    table.add_column('on held-out scenes')
    table.add_column('score', justify='right')
    pretrain, detect = metrics['pretrain'], metrics['detect']
    for label, value in (
        (f'region top-1 of {metrics["num_classes"]} names', pretrain['region_top1']),
        ('right phrase among its hard negatives', pretrain['hard_negative_top1']),
        ('image and long caption, R@1', pretrain['retrieval_r1']),
        ('detection AP50, base classes', detect['ap50_base']),
        ('detection AP50, novel classes', detect['ap50_novel']),
        ('detection AP50, all classes', detect['ap50_all']),
    ):
        table.add_row(label, f'{value:.3f}')
    Console().print(table)
    print(f'{metrics["seconds"]["total"]:.0f} seconds; report: {Path(out) / "report.html"}')
