"""``fgdet evaluate``: scores of saved predictions, no model needed."""

import click


@click.group()
def command() -> None:
    """Score saved predictions; no model needed."""


@command.command('ov-coco')
@click.option('--ann', required=True, help='COCO-form annotation file; all its images count.')
@click.option('--pred', required=True, help='COCO result list: image_id, category_id, bbox xywh, score.')
@click.option('--split', help='JSON with the lists "base" and "novel"; without it, the 48 and 17 classes of OV-COCO.')
@click.option('--iou-type', type=click.Choice(['bbox', 'segm']), default='bbox', show_default=True)
@click.option('--json', 'json_file', help='Write the scores to this file, as fractions.')
def ov_coco(ann: str, pred: str, split: str | None, iou_type: str, json_file: str | None) -> None:
    """AP50 and AP of base, novel and all classes."""
    from fgdet.apis.evaluation import score_ov_coco
    from fgdet.utils.files import write_json

    scores = score_ov_coco(ann, pred, split, iou_type)
    if json_file:
        write_json(json_file, scores)
    click.echo(f'{"classes":<8}{"AP50":>8}{"AP":>8}{"with ground truth":>20}')
    for group in ('base', 'novel', 'all'):
        ap50, ap = 100 * scores[f'{group}_ap50'], 100 * scores[f'{group}_ap']
        click.echo(f'{group:<8}{ap50:>8.2f}{ap:>8.2f}{scores[f"{group}_classes_with_gt"]:>20}')
