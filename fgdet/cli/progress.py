"""How far a job of several parts has come: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

#: Seconds between two plain lines of one part.
LINE_SECONDS = 20.0


class PartsProgress:
    """Progress over named parts of known shares of the whole.

    Args:
        shares: what each part takes of the whole time, in the order of work; any unit.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.shares = dict(shares)
        self._done: dict[str, float] = dict.fromkeys(shares, 0.0)
        self._start = self._last_line = time.monotonic()
        self._is_terminal = sys.stdout.isatty()
        self._bar = Progress(
            TextColumn('{task.description}'),
            BarColumn(bar_width=30),
            TextColumn('{task.percentage:3.0f} %  {task.fields[left]}  {task.fields[line]}'),
            TimeElapsedColumn(),
            console=Console(),
        )
        self._task = self._bar.add_task('', total=1.0, left='', line='')

    def __enter__(self) -> 'PartsProgress':
        if self._is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_terminal:
            self._bar.stop()

    def update(self, part: str, done: float, line: str) -> None:
        """Show that ``done`` (0 to 1) of a part is done; parts before it are complete."""
        for name in self.shares:
            if name == part:
                break
            self._done[name] = 1.0
        starts_or_ends = done == 0.0 or (done == 1.0 and self._done[part] < 1.0)
        self._done[part] = max(done, self._done[part])
        share = sum(self.shares[name] * value for name, value in self._done.items()) / sum(self.shares.values())
        left = self._left(share)
        if self._is_terminal:
            self._bar.update(self._task, description=part, completed=share, left=left, line=line)
        elif starts_or_ends or time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            state = 'done' if done == 1.0 else (line or 'started')
            print(f'[{share:4.0%}] {part}: {state}; {left}', flush=True)

    def _left(self, share: float) -> str:
        elapsed = time.monotonic() - self._start
        if share <= 0.01:
            return 'time left not known yet'
        seconds = elapsed * (1 - share) / share
        return f'about {seconds / 60:.0f} min left' if seconds > 90 else f'about {seconds:.0f} s left'
