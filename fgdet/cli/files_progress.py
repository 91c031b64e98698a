"""How far a search of files has come: a bar on a terminal, and a line for each file."""

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fgdet.cli.progress import LINE_SECONDS


class FilesProgress:
    """Progress over files that are searched: a line for each, and of videos in between.

    Args:
        total: their number.
    """

    def __init__(self, total: int) -> None:
        self.total, self._number, self._last_line = total, 0, time.monotonic()
        console = Console()
        self._bar = Progress(
            TextColumn('{task.description}'), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._files = self._bar.add_task('files', total=total)
        self._frames = self._bar.add_task('frames', total=None, visible=False)

    def __enter__(self) -> 'FilesProgress':
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def on_frame(self, source: object, done: int, expected: int | None) -> None:
        """Show how far a video has come."""
        self._bar.update(self._frames, completed=done, total=expected, visible=True)
        if self._bar.disable and time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            print(f'[{self._number + 1}/{self.total}] {source}: {done} of {expected or "?"} frames', flush=True)

    def show(self, result: Any) -> None:
        """Say what came of a file, a :class:`~fgdet.apis.image_files.FileResult`; failures go to standard error."""
        self._number, self._last_line = self._number + 1, time.monotonic()
        self._bar.update(self._files, completed=self._number)
        self._bar.update(self._frames, visible=False)
        if result.error:
            print(f'fgdet: error: {result.error}', file=sys.stderr, flush=True)
            return
        what = f'{len(result.detections)} found' if result.frames is None else f'{result.frames} frames'
        note = f' ({result.note})' if result.note else ''
        print(f'[{self._number}/{self.total}] {result.path}: {what}{note}', flush=True)
