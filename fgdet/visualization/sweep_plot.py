"""Heatmaps of a sweep over the two weights of a score ensemble, one row for each temperature."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from fgdet.utils.files import write_bytes

_SCORES = {'base_ap50': 'base AP50', 'novel_ap50': 'novel AP50', 'harmonic': 'harmonic mean'}


def write_sweep_plot(result: Mapping[str, Any], path: str | Path) -> None:
    """A PNG with alpha upward and beta to the right; columns share their colours.

    Args:
        result: of :func:`fgdet.apis.sweep.sweep`.
        path: the file.
    """
    table = result['table']
    alphas, betas, temperatures = (sorted({each[key] for each in table}) for key in ('alpha', 'beta', 'temperature'))
    values = {(each['temperature'], each['alpha'], each['beta']): each for each in table}
    with mpl.rc_context({'font.size': 8}):
        figure = Figure(figsize=(9, 1.4 + 2.3 * len(temperatures)), layout='constrained')
        panels: Any = figure.subplots(len(temperatures), len(_SCORES), squeeze=False, sharex=True, sharey=True)
        for column, (score, title) in enumerate(_SCORES.items()):
            cells = np.array([[[values[t, a, b][score] for b in betas] for a in alphas] for t in temperatures])
            for row, temperature in enumerate(temperatures):
                panel = panels[row, column]
                shown = panel.pcolormesh(betas, alphas, 100 * cells[row], **_colours(100 * cells))
                _mark(panel, result['best'], temperature, '*', 'best')
                _mark(panel, result['config'], temperature, 'o', "the config's")
                if not row:
                    panel.set_title(title)
                if not column:
                    panel.set_ylabel(f'temperature {temperature:g}\nalpha (base)')
            panels[-1, column].set_xlabel('beta (novel)')
            bar: dict[str, Any] = dict(location='bottom', fraction=0.06, pad=0.02, aspect=30, extend='min')
            figure.colorbar(shown, ax=panels[:, column], label='percent', **bar)
        handles = {line.get_label(): line for panel in panels.flat for line in panel.get_lines()}
        figure.legend(handles.values(), handles.keys(), loc='outside upper right', ncols=2, frameon=False)
        images = f'{result["images"]} images of {Path(result["annotation_file"]).name}'
        figure.suptitle(f'{len(table)} settings on {images}', x=0.01, ha='left')
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=150, facecolor='white')
    write_bytes(path, buffer.getvalue())


def _colours(percent: np.ndarray) -> dict[str, float]:
    """The range of the colours: the worst tenth share one, as the ends are often far below the rest."""
    if not np.isfinite(percent).any():
        return dict(vmin=0.0, vmax=100.0)
    low, high = np.nanpercentile(percent, 10), np.nanmax(percent)
    return dict(vmin=float(min(low, high - 0.1)), vmax=float(high))


def _mark(panel: Any, entry: Mapping[str, float], temperature: float, marker: str, label: str) -> None:
    if entry['temperature'] == temperature:
        style = dict(color='white', markeredgecolor='black', linestyle='none', clip_on=False, zorder=3)
        panel.plot(entry['beta'], entry['alpha'], marker, markersize=10 if marker == '*' else 6, label=label, **style)
