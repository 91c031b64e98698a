"""``fgdet evaluate lvis``: parse, call :func:`fgdet.apis.evaluation.evaluate_lvis`, show."""

from typing import Any

import click

from fgdet.cli.evaluation_input import detection_options
from fgdet.cli.evaluation_output import output_options, show


@click.command()
@detection_options
@click.option(
    '--fixed-ap',
    is_flag=True,
    help='Fixed AP: the 10,000 best of each class over the data set count, not the 300 best of each image.',
)
@output_options
def command(ann: str, pred: str, iou_type: str, fixed_ap: bool, image_ids: str | None, **output: Any) -> None:
    """LVIS v0.5 or v1: AP of rare, common, frequent and all classes."""
    from fgdet.apis.evaluation import evaluate_lvis

    show(evaluate_lvis(ann, pred, iou_type, fixed_ap, image_ids), **output)
