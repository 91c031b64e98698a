"""``fgdet data``: a group of commands, of which the first calls :mod:`fgdet.apis.records`."""

import click

from fgdet.cli.data_build import build
from fgdet.cli.data_fetch import fetch
from fgdet.cli.data_pack import pack
from fgdet.cli.data_stats import stats
from fgdet.cli.data_verify import verify
from fgdet.cli.data_view import view


@click.group()
def command() -> None:
    """Make and look at training data."""


@command.command('from-coco', short_help='COCO-form annotations to pretraining records.')
@click.argument('ann_file')
@click.option('--out', required=True, help='Records file to write, JSON.')
@click.option(
    '--negatives', type=click.IntRange(min=0), default=10, show_default=True, help='Hard negatives of each region.'
)
@click.option('--seed', default=0, show_default=True, help='Seed of the choice of negatives.')
@click.option('--json', 'json_file', help='Write counts to this file.')
def from_coco(ann_file: str, out: str, negatives: int, seed: int, json_file: str | None) -> None:
    """Turn COCO-form annotations into region-text records for pretraining."""
    from fgdet.apis.records import convert_coco
    from fgdet.utils.files import write_json

    counts = convert_coco(ann_file, out, negatives, seed)
    if json_file:
        write_json(json_file, counts)
    click.echo(f'{counts["records"]} records with {counts["regions"]} regions: {out}')


for _command in (build, fetch, pack, verify, stats, view):
    command.add_command(_command)
