"""``fgdet evaluate compare``: parse, call :func:`fgdet.apis.comparison.compare_files`, print."""

from typing import Any

import click

from fgdet.cli.evaluation_output import HTML, JSON, RESAMPLES, SEED
from fgdet.cli.kept_files import keeps_files


@click.command()
@click.argument('first', metavar='A')
@click.argument('second', metavar='B')
@click.option('--protocol', help='Of result lists: ov-coco, coco or lvis.')
@click.option('--ann', help='Of result lists: the annotation file.')
@click.option('--split', help='Of result lists by ov-coco: JSON with the lists "base" and "novel".')
@click.option('--iou-type', type=click.Choice(['bbox', 'segm']), help='Of result lists.  [default: bbox]')
@click.option('--image-ids', metavar='FILE', help='Of result lists: count only these images.')
@click.option('--fixed-ap', is_flag=True, default=None, help='Of result lists by lvis.')
@click.option('--annotated-images-only', is_flag=True, default=None, help='Of result lists by ov-coco.')
@click.option('--classes', type=click.IntRange(0), default=10, show_default=True, help='List so many changed classes.')
@RESAMPLES
@SEED
@JSON
@HTML
@keeps_files
def command(
    first: str,
    second: str,
    protocol: str | None,
    classes: int,
    resamples: int,
    seed: int,
    json_file: str | None,
    html_file: str | None,
    **given: Any,
) -> None:
    """Say how run B differs from run A on the same images, with paired bootstrap intervals.

    A and B are files that ``fgdet evaluate ... --json`` wrote, or COCO result lists.
    """
    from fgdet.apis.comparison import compare_files, comparison_lines, write_page
    from fgdet.cli.progress import PartsProgress
    from fgdet.utils.files import write_json

    options = {name: value for name, value in given.items() if value is not None}
    with PartsProgress({'draws': 1.0}) as progress:
        comparison = compare_files(
            first, second, protocol, options, resamples, seed, lambda share: progress.update('draws', share, '')
        )
    for line in comparison_lines(comparison, classes):
        click.echo(line)
    if json_file:
        write_json(json_file, comparison.to_json())
    if html_file:
        write_page(html_file, comparison)
