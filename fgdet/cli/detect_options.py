"""The options of ``fgdet detect`` that say how to search, and what they make."""

from collections.abc import Callable
from typing import Any, NamedTuple

import click

_OPTIONS = (
    click.option('--checkpoint', required=True, help='Detector checkpoint; with --proposals, FG-CLIP weights.'),
    click.option('--config', help='Its config; without it, the one stored in the checkpoint.'),
    click.option(
        '--vocab', help='Names to look for, "red mug, cat=0.4", or a .txt or .json file.  [default: the trained]'
    ),
    click.option('--prompt-image', multiple=True, help='Picture of a thing to look for; may be repeated.'),
    click.option('--prompt-box', multiple=True, metavar='X1,Y1,X2,Y2', help='Where it is there, in pixels.'),
    click.option('--prompt-name', multiple=True, help="What to call it.  [default: the picture's name]"),
    click.option('--no-compete', is_flag=True, help='Do not let trained names stand against those of --vocab.'),
    click.option('--proposals', help='Boxes from elsewhere: predictions.json, or an mmdet config and checkpoint.'),
    click.option('--device', default='auto', show_default=True, help='cpu, cuda, cuda:1 ...'),
    click.option('--batch-size', type=click.IntRange(min=1), default=1, show_default=True, help='Images at a time.'),
    click.option('--tile', type=click.IntRange(min=32), help='Search larger images in tiles of this side as well.'),
    click.option('--tile-overlap', type=click.FloatRange(0.05, 0.9), default=0.25, show_default=True),
    click.option('--scale', type=click.IntRange(min=1), help="Longer side to resize to, in the config's place."),
    click.option('--nms', type=click.Choice(['class', 'agnostic']), help='Which boxes suppress each other.'),
    click.option('--nms-iou', type=click.FloatRange(0, 1, min_open=True), help='From which overlap on.'),
    click.option('--max-per-image', type=click.IntRange(min=1), help='The best so many of an image or tile.'),
)


class SearchOptions(NamedTuple):
    """What :func:`search_options` gives a command."""

    checkpoint: str
    config: str | None
    vocab: str | None
    prompt_image: tuple[str, ...]
    prompt_box: tuple[str, ...]
    prompt_name: tuple[str, ...]
    no_compete: bool
    proposals: str | None
    device: str
    batch_size: int
    tile: int | None
    tile_overlap: float
    scale: int | None
    nms: str | None
    nms_iou: float | None
    max_per_image: int | None


def search_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the fields of :class:`SearchOptions`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def build_detector(options: SearchOptions) -> Any:
    """The detector with its vocabulary set.

    Raises:
        UserError: the options, or the files that they name, do not fit.
    """
    from fgdet.apis.detection import Detector
    from fgdet.apis.image_files import read_vocabulary
    from fgdet.apis.inference_settings import InferenceSettings

    vocabulary = None if options.vocab is None else read_vocabulary(options.vocab)
    settings = InferenceSettings(
        options.batch_size,
        options.nms,
        options.nms_iou,
        options.max_per_image,
        options.tile,
        options.tile_overlap,
        options.scale,
        not options.no_compete,
    )
    detector = Detector.from_pretrained(options.config, options.checkpoint, options.device, settings)
    if vocabulary is not None:
        detector.set_vocabulary(vocabulary)
    return detector
