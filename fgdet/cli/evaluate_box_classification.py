"""``fgdet evaluate box-classification``: parse, call :mod:`fgdet.apis.box_classification`, show."""

from typing import Any

import click

from fgdet.cli.evaluation_output import check_path, output_options, show


@click.command()
@click.option('--ann', required=True, help='COCO-form annotation file: COCO, LVIS or any other.')
@click.option('--pred', help='Score this COCO result list: the annotated boxes, each with its best classes.')
@click.option('--checkpoint', help='Score these FG-CLIP or CLIP weights.')
@click.option('--images', help='Folder of the images: for --checkpoint, or for the pictures of --html.')
@click.option(
    '--mode',
    type=click.Choice(['roi', 'crop']),
    default='roi',
    show_default=True,
    help="A box's features: pooled from those of its image, or of the box cut out.",
)
@click.option(
    '--templates',
    default='openai',
    show_default=True,
    help='Prompts around a name: openai (80), simple (7), none, or a file of them.',
)
@click.option('--image-size', type=click.IntRange(1), help="Side in pixels; the default is the checkpoint's own.")
@click.option('--batch-size', type=click.IntRange(1), default=8, show_default=True, help='Images or crops at once.')
@click.option('--device', default='auto', show_default=True, help="As of torch: 'cpu', 'cuda:1'.")
@click.option('--split', help='Base and novel classes: "ov-coco", or JSON with the lists "base" and "novel".')
@click.option('--crowd', is_flag=True, help='Count boxes around crowds, as the official evaluation of FG-CLIP does.')
@click.option('--limit', type=click.IntRange(1), metavar='N', help='Only the first N images.')
@click.option(
    '--save-pred',
    callback=check_path,
    help='Write the five best classes of each box, a COCO result list that --pred takes.',
)
@output_options
def command(
    ann: str,
    pred: str | None,
    checkpoint: str | None,
    images: str | None,
    split: str | None,
    crowd: bool,
    limit: int | None,
    save_pred: str | None,
    mode: str,
    templates: str,
    image_size: int | None,
    batch_size: int,
    device: str,
    **output: Any,
) -> None:
    """Name annotated boxes: top-1 and top-5, over all boxes and as the mean of the classes."""
    from fgdet.apis.box_classification import EncodingSettings, evaluate_box_classification
    from fgdet.cli.progress import PartsProgress

    settings = EncodingSettings(mode, templates, image_size, batch_size, device)
    with PartsProgress({'images': 1.0}) as progress:
        evaluation = evaluate_box_classification(
            ann,
            pred,
            checkpoint,
            images if checkpoint else None,
            settings,
            save_pred=save_pred,
            split=split,
            limit=limit,
            crowd=crowd,
            report=lambda done, total: progress.update('images', done / total, f'{done} of {total}'),
        )
    show(evaluation, images=images, **output)
