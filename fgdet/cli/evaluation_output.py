"""What every ``fgdet evaluate`` command does with its scores: a table, a JSON file, intervals, a page."""

from collections.abc import Callable
from typing import Any

import click

from fgdet.utils.files import write_json


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``, to be handed on to :func:`show`."""
    return click.option('--json', 'json_file', help='Write the scores to this file, as fractions.')(function)


def show(evaluation: Any, json_file: str | None) -> None:
    """Print the table of a :class:`~fgdet.evaluation.evaluation.Evaluation`, and write what was asked for."""
    if json_file:
        write_json(json_file, evaluation.to_json())
    click.echo(evaluation.protocol)
    for row, names in evaluation.columns.items():
        cells = '  '.join(f'{column} {100 * evaluation.scores[name]:.2f}' for column, name in names.items())
        click.echo(f'{row:<10}{cells}')
