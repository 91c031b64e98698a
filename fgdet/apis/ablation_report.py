"""The ablation's markdown table and its plot."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from fgdet.apis.ablation import SCORES, VARIANTS
from fgdet.utils.files import write_bytes

_BAR, _DOT = '#9db8d9', '#1f3a5f'


def markdown_table(record: dict[str, Any]) -> str:
    """The table of :func:`~fgdet.apis.ablation.run_ablation`'s record in percent, and a line for each claim."""
    rows = [['trained with', *SCORES.values()], ['---'] + ['---:'] * len(SCORES)]
    for variant, label in VARIANTS.items():
        rows.append([label, *(_percent(record['table'][variant][score]) for score in SCORES)])
    lines = ['| ' + ' | '.join(row) + ' |' for row in rows]
    claims = [f'- {claim_line(claim)}' for key in ('claims', 'controls') for claim in record[key]]
    return '\n'.join([*lines, '', *claims]) + '\n'


def claim_line(claim: dict[str, Any]) -> str:
    """A claim, what each seed says of it, and whether all agree."""
    by_seed = ', '.join(f'{100 * value:+.1f} (seed {seed})' for seed, value in claim['differences'].items())
    verdict = 'every seed agrees' if claim['every_seed'] else 'NOT every seed agrees'
    variant, than = (VARIANTS[claim[key]].removeprefix('+ ') for key in ('variant', 'than'))
    return f'{SCORES[claim["score"]]}, {variant} over {than}: {by_seed}; mean {_percent(claim, sign="+")}; {verdict}.'


def write_plot(record: dict[str, Any], path: str | Path) -> None:
    """A PNG with a panel for each score: bars are means, whiskers the standard deviation, points the seeds."""
    with mpl.rc_context({'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False}):
        figure = Figure(figsize=(10.5, 3.6), layout='constrained')
        panels: Sequence[Any] = figure.subplots(1, len(SCORES))
        for panel, (score, label) in zip(panels, SCORES.items(), strict=True):
            _draw(panel, record, score)
            panel.set_title(label)
        panels[0].set_ylabel('percent, on held-out scenes')
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=150, facecolor='white')
    write_bytes(path, buffer.getvalue())


def _draw(panel: Any, record: dict[str, Any], score: str) -> None:
    cells = [record['table'][variant][score] for variant in VARIANTS]
    means, stds = ([100 * (cell[key] or 0) for cell in cells] for key in ('mean', 'std'))
    places = range(len(cells))
    panel.bar(places, means, yerr=stds, width=0.62, color=_BAR, ecolor=_DOT, capsize=4)
    for place, variant in enumerate(VARIANTS):
        seeds = [100 * run[score] for run in record['runs'] if run['variant'] == variant]
        offsets = [0.12 * (i - (len(seeds) - 1) / 2) for i in range(len(seeds))]
        panel.plot([place + offset for offset in offsets], seeds, 'o', color=_DOT, markersize=3.5)
        top = max([means[place] + stds[place], *seeds])
        panel.annotate(f'{means[place]:.1f}', (place, top), (0, 4), textcoords='offset points', ha='center')
    labels = [label.replace(', ', ',\n').replace(' loss', '\nloss') for label in VARIANTS.values()]
    panel.set_xticks(list(places), labels, fontsize=8)
    panel.set_ylim(0, 105)
    panel.grid(axis='y', alpha=0.25)
    panel.set_axisbelow(True)


def _percent(cell: dict[str, Any], sign: str = '') -> str:
    mean = f'{100 * cell["mean"]:{sign}.1f}'
    return mean if cell['std'] is None else f'{mean} ± {100 * cell["std"]:.1f}'
