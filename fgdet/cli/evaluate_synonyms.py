"""``fgdet evaluate synonyms``: parse, call :func:`fgdet.apis.synonym_evaluation.evaluate_synonyms`, show."""

from typing import Any

import click

from fgdet.cli.evaluation_output import check_path, output_options, show


@click.command()
@click.option('--ann', required=True, help='COCO-form or LVIS annotation file; all its images count.')
@click.option('--pred', help='COCO result list of what was found under the names.')
@click.option('--pred-synonyms', multiple=True, help='The same under synonyms; may be repeated: the mean counts.')
@click.option(
    '--vocab',
    help='Names, base and novel ones, synonyms: a vocabulary file, ov_coco or lvis_v1; without it, the categories of '
    'the annotation file, which in LVIS have synonyms.',
)
@click.option('--iou-type', type=click.Choice(['bbox', 'segm']), default='bbox', show_default=True)
@click.option('--checkpoint', help='Run this detector in the place of --pred and --pred-synonyms.')
@click.option('--config', help='Its config; without it, the one stored in the checkpoint.')
@click.option('--images', help='Folder of the images, for --checkpoint.')
@click.option(
    '--variant', type=click.IntRange(1), metavar='N', help='Take the N-th synonyms alone; else the mean of all.'
)
@click.option(
    '--save-pred', callback=check_path, help='Write what was found: FILE.json, and FILE_synonyms_1.json ... beside it.'
)
@click.option('--device', default='auto', show_default=True, help="As of torch: 'cpu', 'cuda:1'.")
@output_options
def command(
    ann: str,
    pred: str | None,
    pred_synonyms: tuple[str, ...],
    vocab: str | None,
    iou_type: str,
    checkpoint: str | None,
    config: str | None,
    images: str | None,
    variant: int | None,
    save_pred: str | None,
    device: str,
    **output: Any,
) -> None:
    """AP50 under the names of classes and under their synonyms, and the drop."""
    from fgdet.apis.synonym_evaluation import evaluate_synonyms
    from fgdet.cli.progress import PartsProgress

    with PartsProgress({'images': 1.0}) as progress:
        evaluation = evaluate_synonyms(
            ann,
            pred,
            pred_synonyms,
            vocab,
            iou_type,
            checkpoint,
            images,
            config,
            variant,
            save_pred,
            device,
            lambda done, total: progress.update('images', done / total, f'{done} of {total}'),
        )
    show(evaluation, **output)
