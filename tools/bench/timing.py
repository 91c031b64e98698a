"""What every benchmark here needs: alternating runs of two implementations, and the record that ``fgdet bench`` writes.

A benchmark is a file of this folder with a docstring and ``run(repeats=..., threads=None) -> dict``, which returns
:func:`record`, or that of its headline case and the records of all its cases as ``cases``.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, NamedTuple

import torch


class Comparison(NamedTuple):
    """Seconds of each run, in the order in which they alternated: ours[0], theirs[0], ours[1], theirs[1] ..."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        """For each pair of neighbouring runs, theirs over ours: above 1, ours is faster."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]


def alternate(ours: Callable[[], object], theirs: Callable[[], object], repeats: int = 7) -> Comparison:
    """Time two callables in turn, so that a machine that slows down slows both.

    Args:
        ours: one whole run, called ``repeats`` times after one warm-up.
        theirs: the same work done the other way.
        repeats: pairs of runs, at least 1.

    Raises:
        ValueError: ``repeats`` is below 1.
    """
    if repeats < 1:
        raise ValueError(f'repeats: expected at least 1, got {repeats}')
    comparison = Comparison([], [])
    for step in range(repeats + 1):
        for run, seconds in ((ours, comparison.ours), (theirs, comparison.theirs)):
            elapsed = _seconds(run)
            if step:  # the first pair warms up
                seconds.append(elapsed)
    return comparison


def _seconds(run: Callable[[], object]) -> float:
    _finish()
    start = time.perf_counter()
    run()
    _finish()
    return time.perf_counter() - start


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def record(name: str, comparison: Comparison, max_error: float, settings: dict[str, Any]) -> dict[str, Any]:
    """The JSON record of one comparison; seconds and the ratio are medians over the runs."""
    return {
        'name': name,
        'ratio': median(comparison.ratios),
        'ratios': comparison.ratios,
        'max_error': max_error,
        'ours_seconds': median(comparison.ours),
        'theirs_seconds': median(comparison.theirs),
        'settings': {**settings, 'repeats': len(comparison.ours), 'threads': torch.get_num_threads()},
        'versions': versions(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide over speed, the machine's architecture and its cores."""
    found = {'python': platform.python_version()}
    for package in ('fgdet', 'torch', 'torchvision'):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = 'not installed'
    return found | {'machine': platform.machine(), 'cores': str(os.cpu_count())}


@contextmanager
def num_threads(count: int | None) -> Iterator[None]:
    """Compute with ``count`` threads inside the block; None leaves torch's setting."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
