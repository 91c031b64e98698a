"""The options of ``fgdet detect`` that say how to search: the fields of ``fgdet.apis.search.SearchOptions``."""

from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option('--checkpoint', required=True, help='Detector checkpoint; with --proposals, FG-CLIP weights.'),
    click.option('--config', help='Its config; without it, the one stored in the checkpoint.'),
    click.option(
        '--vocab', help='Names to look for, "red mug, cat=0.4", or a .txt or .json file.  [default: the trained]'
    ),
    click.option('--no-compete', is_flag=True, help='Do not let trained names stand against those of --vocab.'),
    click.option('--prompt-image', multiple=True, metavar='FILE', help='Picture of a thing to look for; repeatable.'),
    click.option('--prompt-box', multiple=True, metavar='X1,Y1,X2,Y2', help='Where it is there, in pixels.'),
    click.option('--prompt-name', multiple=True, metavar='NAME', help="What to call it.  [default: the file's name]"),
    click.option('--device', default='auto', show_default=True, help='cpu, cuda, cuda:1 ...'),
    click.option('--batch-size', type=click.IntRange(min=1), default=1, show_default=True, help='Images at a time.'),
    click.option('--tile', type=click.IntRange(min=32), help='Search larger images in tiles of this side as well.'),
    click.option('--tile-overlap', type=click.FloatRange(0.05, 0.9), default=0.25, show_default=True),
    click.option('--scale', type=click.IntRange(min=1), help="Longer side to resize to, in the config's place."),
    click.option('--nms', type=click.Choice(['class', 'agnostic']), help='Boxes of which names suppress each other.'),
    click.option('--nms-iou', type=click.FloatRange(0, 1, min_open=True), help='From which overlap on they do.'),
    click.option('--max-per-image', type=click.IntRange(min=1), help='The best so many of an image, or of a tile.'),
    click.option('--proposals', help="Take the boxes of predictions.json, or of an mmdet config's detector."),
    click.option('--proposals-checkpoint', help='Weights of that detector.'),
    click.option('--proposals-images', help="Annotation file of the boxes' images, where they come as a list."),
    click.option('--proposals-alpha', type=click.FloatRange(0, 1), help='Weight of FG-CLIP in the score.'),
    click.option('--proposals-temperature', type=click.FloatRange(0, min_open=True), help='Of its softmax.'),
)


def search_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the fields of :class:`~fgdet.apis.search.SearchOptions`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
