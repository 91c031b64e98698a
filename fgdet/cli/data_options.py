"""What the commands of ``fgdet data`` that read samples share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

WORKERS = click.option('--workers', type=click.IntRange(min=0), default=0, show_default=True, help='Extra processes.')
JSON = click.option('--json', 'json_file', help='Write the numbers to this file.')
IMAGES = click.option('--images', help='Folder that the image paths of records are relative to; not for shards.')


@contextmanager
def progress(part: str) -> Iterator[Callable[[float, str], None]]:
    """A bar, or plain lines, for a job of one part."""
    from fgdet.cli.progress import PartsProgress

    with PartsProgress({part: 1.0}) as shown:
        yield lambda done, line: shown.update(part, done, line)
