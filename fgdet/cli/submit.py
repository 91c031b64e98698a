"""``fgdet submit``: parse, call :mod:`fgdet.apis.submission`, print."""

from collections.abc import Callable
from typing import Any

import click

IMAGES = click.option('--images', required=True, help="The test set's image-info file.")
JSON = click.option('--json', 'json_file', help='Write what was found and done to this file.')
IOU_TYPE = click.option(
    '--iou-type', type=click.Choice(['bbox', 'segm']), default='bbox', show_default=True, help='Boxes or masks.'
)


@click.group()
def command() -> None:
    """Checked files for the servers of COCO and LVIS."""


def _submit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option('--pred', required=True, help='COCO result list: image_id, category_id, bbox xywh, score.'),
        IMAGES,
        click.option('--out', required=True, help='The file; in a folder, it gets the documented name.'),
        IOU_TYPE,
        click.option('--algorithm', help="A part of the file's name.  [default: what FILE tells, else fgdet]"),
        click.option(
            '--test-set', help='The same for the test set.  [default: what FILE or the image-info file tells]'
        ),
        click.option('--fix', is_flag=True, help='Clip, drop and sort what is safe, and say how many.'),
        JSON,
    )
    for option in reversed(options):
        function = option(function)
    return function


@command.command()
@_submit_options
def coco(**options: Any) -> None:
    """A .zip for COCO 2017 test-dev, or another test set of its server."""
    _submit('coco', **options)


@command.command()
@_submit_options
def lvis(**options: Any) -> None:
    """A .zip or .json for LVIS v1 test-dev, or another test set of its server."""
    _submit('lvis', **options)


@command.command()
@click.argument('archive')
@IMAGES
@click.option('--benchmark', type=click.Choice(['coco', 'lvis']), help='[default: what the name of ARCHIVE tells]')
@click.option('--iou-type', type=click.Choice(['bbox', 'segm']), help='[default: masks where there are some]')
@JSON
def check(archive: str, images: str, **options: Any) -> None:
    """Check ARCHIVE, a file that was written before, here or elsewhere."""
    from fgdet.apis.submission import PARTS, check_archive
    from fgdet.cli.progress import PartsProgress

    with PartsProgress({part: PARTS[part] for part in ('read', 'check')}) as shown:
        submission = check_archive(archive, images, on_progress=shown.update, **options)
    _show(submission, 'the server would take it')


def _submit(benchmark: str, pred: str, images: str, out: str, **options: Any) -> None:
    from fgdet.apis.submission import PARTS, submit
    from fgdet.cli.progress import PartsProgress

    with PartsProgress(PARTS) as shown:
        submission = submit(benchmark, pred, images, out, on_progress=shown.update, **options)
    show_written(submission)


def show_written(submission: Any) -> None:
    """Print what came of writing a :class:`~fgdet.submission.submission.Submission`."""
    _show(submission, f'written, read back and compared; scores {submission.scores}')


def _show(submission: Any, outcome: str) -> None:
    for what, count in submission.mended.items():
        click.echo(f'{what}: {count}')
    for warning in submission.warnings:
        click.echo(f'fgdet: warning: {warning}', err=True)
    what = 'boxes' if submission.iou_type == 'bbox' else 'masks'
    size = f'{submission.num_bytes / 1e6:.1f} MB' if submission.num_bytes > 1e5 else f'{submission.num_bytes} bytes'
    click.echo(f'{submission.archive}: {submission.num_written} {what} for {submission.test_set}, {size}: {outcome}')
