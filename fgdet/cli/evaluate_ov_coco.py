"""``fgdet evaluate ov-coco``: parse, call :func:`fgdet.apis.evaluation.evaluate_ov_coco`, show."""

from typing import Any

import click

from fgdet.cli.evaluation_output import output_options, show


@click.command()
@click.option('--ann', required=True, help='COCO-form annotation file; all its images count.')
@click.option('--pred', required=True, help='COCO result list: image_id, category_id, bbox xywh, score.')
@click.option('--split', help='JSON with the lists "base" and "novel"; without it, the 48 and 17 classes of OV-COCO.')
@click.option('--iou-type', type=click.Choice(['bbox', 'segm']), default='bbox', show_default=True)
@output_options
def command(ann: str, pred: str, split: str | None, iou_type: str, **output: Any) -> None:
    """AP50 and AP of base, novel and all classes."""
    from fgdet.apis.evaluation import evaluate_ov_coco

    show(evaluate_ov_coco(ann, pred, split, iou_type), **output)
