"""``fgdet evaluate``: a group whose commands are imported only when they are called."""

import click

from fgdet.cli.lazy_group import LazyGroup

COMMANDS = {
    'ov-coco': ('fgdet.cli.evaluate_ov_coco', 'Boxes or masks on COCO: base, novel and all classes.'),
}


@click.group(cls=LazyGroup, modules=COMMANDS)
def command() -> None:
    """Score by the protocols of the benchmarks: saved predictions, or a checkpoint where one is given."""
