"""``fgdet evaluate ov-coco``: parse, call :func:`fgdet.apis.evaluation.evaluate_ov_coco`, show."""

from typing import Any

import click

from fgdet.cli.evaluation_input import detection_options
from fgdet.cli.evaluation_output import output_options, show


@click.command()
@detection_options
@click.option('--split', help='JSON with the lists "base" and "novel"; without it, the 48 and 17 classes of OV-COCO.')
@click.option(
    '--annotated-images-only',
    is_flag=True,
    help='Count only images that have an object of the split: the 4,836 of OV-COCO.',
)
@output_options
def command(
    ann: str,
    pred: str,
    split: str | None,
    iou_type: str,
    annotated_images_only: bool,
    image_ids: str | None,
    **output: Any,
) -> None:
    """AP50 and AP of base, novel and all classes."""
    from fgdet.apis.evaluation import evaluate_ov_coco

    show(evaluate_ov_coco(ann, pred, split, iou_type, annotated_images_only, image_ids), **output)
