"""``fgdet evaluate fg-ovd``: parse, call :func:`fgdet.apis.fg_ovd.evaluate_fg_ovd`, show."""

from typing import Any

import click

from fgdet.cli.evaluation_output import output_options, show


@click.command()
@click.option('--ann', required=True, multiple=True, help="hard.jsonl, or FG-OVD's 1_attributes.json; may be repeated.")
@click.option('--protocol', type=click.Choice(['rank', 'detection']), default='rank', show_default=True)
@click.option('--pred', help='Saved predictions to score, in the place of --checkpoint and --images.')
@click.option('--checkpoint', help='FG-CLIP weights; with --protocol detection the .pth of a detector.')
@click.option('--images', help='Folder that paths such as val2017/000000000139.jpg start from.')
@click.option('--save-pred', help='Write what was predicted to this file.')
@click.option('--skip-missing', is_flag=True, help='Leave out lines without an image or without predictions.')
@click.option('--negatives', type=click.IntRange(1), default=10, show_default=True, help='Detection: in a vocabulary.')
@click.option('--mode', type=click.Choice(['roi', 'crop']), default='roi', show_default=True, help='Rank: regions.')
@click.option('--batch-size', type=click.IntRange(1), default=8, show_default=True, help='Rank: images at once.')
@click.option('--device', default='auto', show_default=True)
@output_options
def command(
    ann: tuple[str, ...],
    protocol: str,
    pred: str | None,
    checkpoint: str | None,
    images: str | None,
    save_pred: str | None,
    skip_missing: bool,
    negatives: int,
    mode: str,
    batch_size: int,
    device: str,
    **output: Any,
) -> None:
    """Captions against wrong ones that differ in a detail: rank accuracy on given boxes, or detection mAP."""
    from fgdet.apis.fg_ovd import evaluate_fg_ovd
    from fgdet.cli.progress import PartsProgress

    with PartsProgress({'images': 1.0}) as progress:
        evaluation = evaluate_fg_ovd(
            ann,
            protocol,
            pred,
            checkpoint,
            images,
            save_pred,
            skip_missing,
            negatives,
            mode,
            batch_size,
            device,
            lambda done, count: progress.update('images', done / count, f'{done} of {count}'),
        )
    show(evaluation, **output)
