"""Scores as text, the same on a terminal and on a page."""

from typing import Any

import numpy as np

from fgdet.evaluation.resampling import Interval


def score_text(value: Any, interval: Interval | None = None) -> str:
    """Return ``57.33`` for a fraction, ``65`` for a whole number, ``-`` for None and NaN.

    Args:
        value: the score.
        interval: follows a fraction in parentheses: ``57.33 (51.20-62.90)``.
    """
    if isinstance(value, int | np.integer):
        return str(value)
    if value is None or np.isnan(value):
        return '-'
    text, limits = f'{100 * value:.2f}', interval_text(interval)
    return text if limits == '-' else f'{text} ({limits})'


def limit_text(value: float) -> str:
    """Return ``0.375`` for a limit of scores, which is no percentage; ``-`` for NaN."""
    return '-' if np.isnan(value) else f'{value:.3f}'


def interval_text(interval: Interval | None) -> str:
    """Return ``51.20-62.90``; ``-`` where there is none."""
    return '-' if interval is None or np.isnan(interval[0]) else f'{100 * interval[0]:.2f}-{100 * interval[1]:.2f}'
