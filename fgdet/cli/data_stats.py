"""``fgdet data stats``: parse, call :mod:`fgdet.apis.data_stats`, print."""

import click

from fgdet.cli.data_options import IMAGES, JSON, WORKERS, progress


@click.command(short_help='Lengths of texts, boxes of an image, sizes.')
@click.argument('data')
@IMAGES
@click.option('--plot', help='Draw histograms into this PNG file.')
@WORKERS
@JSON
def stats(data: str, images: str | None, plot: str | None, workers: int, json_file: str | None) -> None:
    """Count over DATA, a records file, a folder of them, or shards, what training can use of it."""
    from fgdet.apis.data_samples import Samples
    from fgdet.apis.data_stats import MEASURES, count, summarise, write_plot
    from fgdet.utils.files import write_json

    samples = Samples(data, images)
    with progress('stats') as on_progress:
        counts, total = count(samples, workers, on_progress)
    summary = summarise(counts)
    if json_file:
        write_json(json_file, dict(total, measures=summary))
    if plot:
        write_plot(plot, counts)
    click.echo(f'{"":<22}{"count":>10}{"min":>7}{"mean":>9}{"median":>8}{"p95":>7}{"p99":>7}{"max":>7}{"cut":>8}')
    for name, row in summary.items():
        numbers = (
            f'{row["count"]:>10}{row["min"]:>7}{row["mean"]:>9.1f}{row["median"]:>8}{row["p95"]:>7}{row["p99"]:>7}'
        )
        cut = f'{row["cut"]:>8.1%}' if 'cut' in row else ''
        click.echo(f'{name:<22}{numbers}{row["max"]:>7}{cut}  {MEASURES[name]}')
    click.echo(f'{total["usable"]} of {total["samples"]} samples can be used')
