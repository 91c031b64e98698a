"""What every ``fgdet evaluate`` command does with its scores: a table, a JSON file, intervals, a page."""

import shutil
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from fgdet.cli.kept_files import keeps_files
from fgdet.utils.files import check_output_file, write_json


def check_path(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An output that cannot be written is refused before anything is computed."""
    if value is not None:
        check_output_file(value, parameter.opts[0])
    return value


JSON = click.option('--json', 'json_file', callback=check_path, help='Write the scores to this file, as fractions.')
HTML = click.option('--html', 'html_file', callback=check_path, help='Write one page with scores, plots and mistakes.')
RESAMPLES = click.option('--resamples', type=click.IntRange(2), default=1000, show_default=True, help='Draws of --ci.')
SEED = click.option('--seed', type=click.IntRange(0), default=0, show_default=True, help='Of the draws.')
#: Crops for ``--html`` on commands that need no images otherwise; handed on to :func:`show`.
IMAGES = click.option('--images', help='Folder of the images: --html then shows the mistakes.')


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that :func:`show` takes."""
    options = [
        JSON,
        HTML,
        click.option(
            '--ci', is_flag=True, help='Add 95 % bootstrap intervals over the images; rough for rare classes.'
        ),
        RESAMPLES,
        SEED,
        click.option('--worst-classes', type=click.IntRange(1), metavar='N', help='List the N classes scored lowest.'),
    ]
    function = keeps_files(_shows_what_is_scored(function))
    for option in reversed(options):
        function = option(function)
    return function


def show(
    evaluation: Any,
    json_file: str | None = None,
    html_file: str | None = None,
    ci: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    worst_classes: int | None = None,
    images: str | None = None,
) -> None:
    """Print the table of a :class:`~fgdet.evaluation.evaluation.Evaluation`, and write what was asked for.

    The options are those of :func:`output_options`. ``images`` is the folder of the images, for crops on the page;
    None: ``evaluation.inputs['images']`` if there is one.
    """
    from fgdet.apis import evaluation_report
    from fgdet.cli.progress import PartsProgress

    if ci:
        with PartsProgress({'intervals': 1.0}) as progress:
            evaluation_report.add_intervals(
                evaluation, resamples, seed, lambda share: progress.update('intervals', share, '')
            )
    width = shutil.get_terminal_size((120, 24)).columns
    click.echo(evaluation.protocol)
    header, *rows = evaluation_report.score_lines(evaluation, width)
    if header:
        click.secho(header, bold=True)
    click.echo('\n'.join(rows))
    if worst_classes:
        header, *rows = evaluation_report.worst_class_lines(evaluation, worst_classes) or ['no scores by class']
        click.secho(f'\n{header}', bold=True)
        click.echo('\n'.join(rows))
    if json_file:
        write_json(json_file, evaluation.to_json())
    if html_file:
        evaluation_report.write_page(html_file, evaluation, images or evaluation.inputs.get('images'))


def _shows_what_is_scored(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command print the scores of a model whose predictions cannot be saved."""

    @wraps(function)
    def shown(**options: Any) -> Any:
        from fgdet.apis.saved_predictions import UnsavedPredictionsError

        try:
            return function(**options)
        except UnsavedPredictionsError as error:
            show(error.evaluation)
            raise

    return shown
