"""``fgdet evaluate``: a group whose commands are imported only when they are called."""

import click

from fgdet.cli.lazy_group import LazyGroup

COMMANDS = {
    'ov-coco': ('fgdet.cli.evaluate_ov_coco', 'Boxes or masks on COCO: base, novel and all classes.'),
    'lvis': ('fgdet.cli.evaluate_lvis', 'Boxes or masks on LVIS: rare, common, frequent and all classes.'),
    'coco': ('fgdet.cli.evaluate_coco', 'Boxes or masks on any COCO-form file: AP over all its categories.'),
    'fg-ovd': ('fgdet.cli.evaluate_fg_ovd', 'Captions against wrong ones that differ in a detail: FG-OVD.'),
    'box-classification': (
        'fgdet.cli.evaluate_box_classification',
        'Given boxes named by FG-CLIP: top-1 and top-5.',
    ),
    'retrieval': ('fgdet.cli.evaluate_retrieval', 'Images and captions that find each other: R@1, R@5, R@10.'),
    'zero-shot': ('fgdet.cli.evaluate_zero_shot', 'Images of class folders, told apart by names: top-1, top-5.'),
    'compare': ('fgdet.cli.evaluate_compare', 'Two runs side by side: differences with paired intervals.'),
    'calibration': ('fgdet.cli.evaluate_calibration', 'Are scores probabilities? Thresholds for a vocabulary.'),
    'synonyms': ('fgdet.cli.evaluate_synonyms', 'What other words for the classes cost: the drop in AP50.'),
}


@click.group(cls=LazyGroup, modules=COMMANDS)
def command() -> None:
    """Score by the protocols of the benchmarks: saved predictions, or a checkpoint where one is given."""
