"""What commands that encode with FG-CLIP are told of it."""

from collections.abc import Callable
from typing import Any

import click


def encoder_options(required: bool = True, images: bool = True) -> Callable[..., Any]:
    """Add ``--checkpoint --device`` and, for ``images``, ``--image-size --batch-size``."""
    options = [
        click.option('--checkpoint', required=required, help='FG-CLIP or CLIP weights.'),
        click.option('--device', default='auto', show_default=True, help="As of torch: 'cpu', 'cuda:1'."),
    ]
    if images:
        options += [
            click.option('--image-size', type=click.IntRange(1), help="Side in pixels; default: the checkpoint's own."),
            click.option('--batch-size', type=click.IntRange(1), default=8, show_default=True, help='Images at once.'),
        ]

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return add
