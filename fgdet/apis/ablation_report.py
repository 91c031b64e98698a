"""The ablation's markdown table and its plot."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from fgdet.apis.ablation import SCORES, VARIANTS
from fgdet.utils.files import write_bytes

_BAR, _CONTROL, _DOT = '#9db8d9', '#cfcfcf', '#1f3a5f'
_CONTROL_VARIANTS = [variant for variant in VARIANTS if variant.endswith('_control')]


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
    variant, than = (f'"{VARIANTS[claim[key]].removeprefix("+ ")}"' for key in ('variant', 'than'))
    return f'{SCORES[claim["score"]]}, {variant} over {than}: {by_seed}; mean {_percent(claim, sign="+")}; {verdict}.'


def write_plot(record: dict[str, Any], path: str | Path) -> None:
    """A PNG with a panel for each score: bars are means, whiskers the standard deviation, points the seeds."""
    with mpl.rc_context({'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False}):
        figure = Figure(figsize=(10, 4), layout='constrained')
        panels: Sequence[Any] = figure.subplots(1, len(SCORES), sharey=True)
        for panel, (score, label) in zip(panels, SCORES.items(), strict=True):
            _draw(panel, record, score)
            panel.set_title(label)
        panels[0].set_yticks(range(len(VARIANTS)), list(VARIANTS.values()))
        panels[0].invert_yaxis()
        figure.supxlabel('percent, on held-out scenes', fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=150, facecolor='white')
    write_bytes(path, buffer.getvalue())


def _draw(panel: Any, record: dict[str, Any], score: str) -> None:
    for place, variant in enumerate(VARIANTS):
        cell = record['table'][variant][score]
        mean, std = 100 * cell['mean'], 100 * (cell['std'] or 0)
        seeds = [100 * run[score] for run in record['runs'] if run['variant'] == variant]
        offsets = [0.15 * (i - (len(seeds) - 1) / 2) for i in range(len(seeds))]
        color = _CONTROL if variant in _CONTROL_VARIANTS else _BAR
        panel.barh(place, mean, xerr=std, height=0.66, color=color, ecolor=_DOT, capsize=3)
        panel.plot(seeds, [place + offset for offset in offsets], 'o', color=_DOT, markersize=3)
        end = max(mean + std, *seeds, 0)
        panel.annotate(f'{mean:.1f}', (end, place), (5, 0), textcoords='offset points', va='center')
    panel.set_xlim(0, 100)
    panel.grid(axis='x', alpha=0.25)
    panel.set_axisbelow(True)


def _percent(cell: dict[str, Any], sign: str = '') -> str:
    mean = f'{100 * cell["mean"]:{sign}.1f}'
    return mean if cell['std'] is None else f'{mean} ± {100 * cell["std"]:.1f}'
