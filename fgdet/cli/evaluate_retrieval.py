"""``fgdet evaluate retrieval``: parse, call :mod:`fgdet.apis.retrieval_evaluation`, show."""

from typing import Any

import click

from fgdet.cli.encoder_options import encoder_options
from fgdet.cli.evaluation_output import check_path, output_options, show


@click.command()
@click.option('--pred', multiple=True, help='Score embeddings: of --save-pred, or of fgdet embed (image and text).')
@encoder_options(required=False)
@click.option('--images', help='Folder of the images.')
@click.option(
    '--ann',
    help="Captions: COCO's or Karpathy's JSON, FineHARD records (long and short), or records of image and captions.",
)
@click.option('--long/--short', default=None, help='Read 248 tokens, or cut at 77; of FineHARD records, only these.')
@click.option(
    '--captions', type=click.IntRange(1), default=5, show_default=True, help='Of an image, the first ones count.'
)
@click.option('--split', default='test', show_default=True, help="Of Karpathy's JSON.")
@click.option(
    '--save-pred',
    callback=check_path,
    help='Write the embeddings: with --pred they give the same scores without a model.',
)
@output_options
def command(
    pred: tuple[str, ...],
    checkpoint: str | None,
    images: str | None,
    ann: str | None,
    long: bool | None,
    captions: int,
    split: str,
    image_size: int | None,
    batch_size: int,
    device: str,
    save_pred: str | None,
    **output: Any,
) -> None:
    """Images find their captions and captions their image: recall at 1, 5 and 10, long and short."""
    from fgdet.apis.retrieval_evaluation import evaluate_retrieval
    from fgdet.cli.progress import PartsProgress

    with PartsProgress({'images': 5.0, 'texts': 5.0, 'ranks': 1.0}) as progress:
        evaluation = evaluate_retrieval(
            pred,
            ann,
            checkpoint,
            images,
            long,
            captions,
            split,
            image_size,
            batch_size,
            device,
            save_pred,
            progress.update,
        )
    show(evaluation, **output)
