"""A comparison of two runs as rows of text and as a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as MatplotlibFigure

from fgdet.evaluation.comparison import Comparison
from fgdet.visualization.report import Block, Figure, Section, Table, write_report
from fgdet.visualization.score_text import score_text

#: What the columns of :func:`score_rows` mean.
LEGEND = 'Percent. Difference: B minus A, its 95 % interval over paired draws of the images, how often B is higher.'
#: Rows of the page's tables of changes by class.
NUM_CLASSES = 30


def score_rows(comparison: Comparison) -> list[dict[str, str]]:
    """One row for each score: ``score, A, B, difference, 95 % interval, B higher``."""
    columns = comparison.first.columns
    labels = {name: f'{row} {column}'.strip() for row, names in columns.items() for column, name in names.items()}
    rows = []
    for name, label in labels.items():
        if name not in comparison.differences:
            continue
        found = comparison.differences[name]
        known = not np.isnan(found.low)
        rows.append(
            {
                'score': label,
                'A': score_text(comparison.first.scores[name]),
                'B': score_text(comparison.second.scores[name]),
                'difference': signed(found.difference),
                '95 % interval': f'{signed(found.low)} to {signed(found.high)}' if known else '-',
                'B higher': f'{100 * found.probability:.1f} %' if known else '-',
            }
        )
    return rows


def class_rows(changes: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """One row for each class: ``class, group, objects, A, B, difference``."""
    facts = [key for key in ('group', 'num_objects') if any(key in each for each in changes)]
    return [
        {'class': str(each['name'])}
        | {key.removeprefix('num_'): str(each.get(key, '')) for key in facts}
        | {'A': score_text(each['first']), 'B': score_text(each['second']), 'difference': signed(each['difference'])}
        for each in changes
    ]


def signed(value: float) -> str:
    """A difference of fractions in percent with its sign, of counts as it is; ``-`` where it is not known."""
    if isinstance(value, int | np.integer):
        return f'{value:+d}'
    return '-' if np.isnan(value) else f'{100 * value:+.2f}'


def write_comparison_page(path: str | Path, comparison: Comparison) -> Path:
    """Write a comparison as one HTML file, in one step.

    Args:
        path: the file.
        comparison: what is shown.

    Returns:
        The path.
    """
    first, second = comparison.first, comparison.second
    runs = [
        {'run': run, 'file': comparison.inputs.get(run.lower(), ''), 'predictions': evaluation.inputs.get('pred') or ''}
        for run, evaluation in (('A', first), ('B', second))
    ]
    rows = score_rows(comparison)
    sections = [
        Section('Runs', [first.protocol, Table(runs)]),
        Section('Scores', [Table(rows, LEGEND, right=list(rows[0])[1:])] if rows else []),
        Section('Classes', _class_blocks(comparison)),
    ]
    title = f'fgdet evaluate compare: {first.name}'
    return write_report(path, title, [section for section in sections if section.blocks])


def _class_blocks(comparison: Comparison) -> list[Block]:
    changes = comparison.classes
    if not changes:
        return []
    blocks: list[Block] = [
        f'Of {len(changes)} classes, {sum(each["difference"] > 0 for each in changes)} went up and '
        f'{sum(each["difference"] < 0 for each in changes)} down.',
        Figure(_scatter(changes, comparison.class_score), f'{comparison.class_score} of each class, percent.'),
    ]
    for title, sign in (('The largest gains:', 1), ('The largest losses:', -1)):
        chosen = [each for each in changes if sign * each['difference'] > 0][:NUM_CLASSES]
        if chosen:
            table = class_rows(chosen)
            blocks += [title, Table(table, right=[name for name in table[0] if name not in ('class', 'group')])]
    return blocks


def _scatter(changes: Sequence[dict[str, Any]], score: str) -> MatplotlibFigure:
    with mpl.rc_context({'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False}):
        figure = MatplotlibFigure(figsize=(4, 4), layout='constrained')
        axes = figure.add_subplot()
        axes.plot([0, 100], [0, 100], color='grey', linewidth=0.8)
        values = 100 * np.array([[each['first'], each['second']] for each in changes])  # (classes, 2)
        axes.plot(values[:, 0], values[:, 1], 'o', markersize=3, alpha=0.6)
        axes.set_xlabel(f'{score} of A')
        axes.set_ylabel(f'{score} of B')
        axes.grid(alpha=0.25)
    return figure
