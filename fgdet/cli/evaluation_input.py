"""What every ``fgdet evaluate`` command over saved detections is told."""

from collections.abc import Callable
from typing import Any

import click

from fgdet.cli.evaluation_output import IMAGES

_OPTIONS = (
    click.option('--ann', required=True, help='COCO-form annotation file; all its images count.'),
    click.option('--pred', required=True, help='COCO result list: image_id, category_id, bbox xywh, score.'),
    click.option('--iou-type', type=click.Choice(['bbox', 'segm']), default='bbox', show_default=True),
    click.option(
        '--image-ids',
        metavar='FILE',
        help='Count only these images: a JSON list of ids, one id a line, or an annotation file such as a minival.',
    ),
    IMAGES,
)


def detection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--ann --pred --iou-type --image-ids`` for the api, and ``--images`` for the output."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
