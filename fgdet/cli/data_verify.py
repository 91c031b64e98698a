"""``fgdet data verify``: parse, call :mod:`fgdet.apis.data_verify`, print."""

import sys

import click

from fgdet.cli.data_options import IMAGES, JSON, WORKERS, progress


@click.command(short_help='What is wrong with records, images or shards.')
@click.argument('data')
@IMAGES
@click.option('--quick', is_flag=True, help='Read only the headers of images: one that was cut is not found.')
@click.option('--sheet', help='Draw random samples with boxes and captions into this PNG file.')
@click.option('--sheet-samples', type=click.IntRange(min=1), default=9, show_default=True)
@click.option('--seed', default=0, show_default=True, help='Seed of the choice of samples for the sheet.')
@click.option('--allow', multiple=True, metavar='KIND', help='Not a failure, such as missing-image; "all" for any.')
@WORKERS
@JSON
def verify(
    data: str,
    images: str | None,
    quick: bool,
    sheet: str | None,
    sheet_samples: int,
    seed: int,
    allow: tuple[str, ...],
    workers: int,
    json_file: str | None,
) -> None:
    """Check DATA: a records file, a folder of them, or shards. Exit status 1 where training would pass over samples."""
    from fgdet.apis.data_samples import Samples
    from fgdet.apis.data_sheet import write_sheet
    from fgdet.apis.data_verify import ERRORS, NOTICES, verify
    from fgdet.utils.checks import UserError
    from fgdet.utils.files import write_json

    if unknown := set(allow) - {*ERRORS, 'all'}:
        raise UserError(f'allow {", ".join(unknown)}: no such kind; choose from {", ".join(ERRORS)}, all')
    samples = Samples(data, images)
    with progress('verify') as on_progress:
        findings = verify(samples, not quick, workers, on_progress)
    if json_file:
        write_json(json_file, findings.to_dict())
    for kind, meaning in (ERRORS | NOTICES).items():
        if findings.counts[kind]:
            click.echo(f'{kind}: {findings.counts[kind]} ({meaning})')
            for example in findings.examples[kind]:
                click.echo(f'  {example}')
    looked = '' if samples.has_images else '; images were not looked at, give --images'
    click.echo(f'{findings.usable} of {findings.samples} samples can be used{looked}')
    if sheet:
        click.echo(f'{write_sheet(samples, sheet, sheet_samples, seed)} samples drawn: {sheet}')
    if any(findings.counts[kind] for kind in ERRORS if kind not in allow) and 'all' not in allow:
        sys.exit(1)
