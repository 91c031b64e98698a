"""``fgdet evaluate calibration``: parse, call :mod:`fgdet.apis.calibration_evaluation`, show."""

import math
from typing import Any

import click

from fgdet.cli.evaluation_output import check_path, output_options, show


@click.command()
@click.option('--ann', required=True, help='COCO-form or LVIS annotation file; all its images count.')
@click.option('--pred', required=True, help='COCO result list of a detector that was run with a low threshold.')
@click.option('--vocab', help='Classes that count: ov_coco, lvis_v1 or a vocabulary file; without it, all categories.')
@click.option('--iou-type', type=click.Choice(['bbox', 'segm']), default='bbox', show_default=True)
@click.option('--bins', type=click.IntRange(1), default=15, show_default=True, help='Of the scores.')
@click.option(
    '--min-score', type=click.FloatRange(0, 1), default=0.0, show_default=True, help='Leave out what is below.'
)
@click.option(
    '--min-objects',
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help='A class with fewer objects takes the threshold of all.',
)
@click.option(
    '--thresholds-out',
    callback=check_path,
    help='Write names and thresholds to this .json file, for fgdet detect --vocab.',
)
@output_options
def command(thresholds_out: str | None, **options: Any) -> None:
    """Whether scores are probabilities of being right, and the thresholds of the best F1."""
    from fgdet.apis.calibration_evaluation import evaluate_calibration, write_thresholds

    asked = ('ann', 'pred', 'vocab', 'iou_type', 'bins', 'min_score', 'min_objects')
    evaluation = evaluate_calibration(**{name: options.pop(name) for name in asked})
    if thresholds_out:
        write_thresholds(thresholds_out, evaluation)
    show(evaluation, **options)
    threshold = evaluation.scores['threshold']
    click.echo('no threshold: no detection is right' if math.isnan(threshold) else f'threshold {threshold:.4f}')
