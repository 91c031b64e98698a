"""``fgdet evaluate zero-shot``: parse, call :mod:`fgdet.apis.zero_shot_evaluation`, show."""

from typing import Any

import click

from fgdet.cli.encoder_options import encoder_options
from fgdet.cli.evaluation_output import check_path, output_options, show


@click.command()
@click.option('--images', required=True, help='Folder with one folder of images for each class.')
@click.option('--pred', help='Score predictions of --save-pred in the place of a checkpoint.')
@encoder_options(required=False)
@click.option(
    '--classes',
    help='Names of the folders: JSON {"folder": "name"} or lines "folder name, other name"; or imagenet for its 1,000. '
    'Without it folders are called as they are.',
)
@click.option(
    '--templates',
    default='openai',
    show_default=True,
    help='Prompts around a name: openai (80), simple (7), none, or a file of them.',
)
@click.option(
    '--save-pred', callback=check_path, help='Write the five best classes of each image: --pred scores them again.'
)
@output_options
def command(
    images: str,
    pred: str | None,
    checkpoint: str | None,
    classes: str | None,
    templates: str,
    image_size: int | None,
    batch_size: int,
    device: str,
    save_pred: str | None,
    **output: Any,
) -> None:
    """Images of class folders, told apart by the classes' names: top-1, top-5, mean per class."""
    from fgdet.apis.zero_shot_evaluation import evaluate_zero_shot
    from fgdet.cli.progress import PartsProgress

    with PartsProgress({'classes': 1.0, 'images': 5.0}) as progress:
        evaluation = evaluate_zero_shot(
            images, pred, checkpoint, classes, templates, image_size, batch_size, device, save_pred, progress.update
        )
    show(evaluation, **output)
