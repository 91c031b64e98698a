"""``fgdet data view``: parse, call :mod:`fgdet.apis.data_sheet`, print."""

import click

from fgdet.cli.data_options import IMAGES


@click.command(short_help='Random samples with boxes and captions as a picture.')
@click.argument('data')
@IMAGES
@click.option('--out', required=True, help='PNG file.')
@click.option('--samples', 'count', type=click.IntRange(min=1), default=9, show_default=True)
@click.option('--seed', default=0, show_default=True, help='Seed of the choice.')
def view(data: str, images: str | None, out: str, count: int, seed: int) -> None:
    """Draw random samples of DATA, a records file, a folder of them, or shards, that training can use."""
    from fgdet.apis.data_samples import Samples
    from fgdet.apis.data_sheet import write_sheet

    click.echo(f'{write_sheet(Samples(data, images), out, count, seed)} samples drawn: {out}')
