"""``fgdet evaluate coco``: parse, call :func:`fgdet.apis.evaluation.evaluate_coco`, show."""

from typing import Any

import click

from fgdet.cli.evaluation_input import detection_options
from fgdet.cli.evaluation_output import output_options, show


@click.command()
@detection_options
@output_options
def command(ann: str, pred: str, iou_type: str, image_ids: str | None, **output: Any) -> None:
    """AP, AP50, AP75, by size, and AR over all categories of a COCO-form file."""
    from fgdet.apis.evaluation import evaluate_coco

    show(evaluate_coco(ann, pred, iou_type, image_ids), **output)
