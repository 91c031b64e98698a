"""Embeddings by key, in memory and in a file that outlives the process.

Axes: n embeddings, d dimension of one.
"""

import contextlib
import logging
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from fgdet.utils.files import write_bytes

#: Bytes of a key.
KEY_SIZE = 16
#: Embeddings that a file keeps, the newest ones: 134 MB at d = 512.
MOST_ROWS = 1 << 16
#: Files that a folder keeps, those of the text towers that were last added to.
MOST_FILES = 16
ENDING = '.embeddings'


class EmbeddingStore:
    """Embeddings that are computed once.

    The file is a row of records: key, embedding (d float32, little endian), CRC-32 of both. New ones are appended in
    one write. A record that is damaged or cut is skipped, and the file written anew without it. A file that cannot be
    read or written is no error: the embeddings are then kept in memory alone.

    Args:
        dimension: d.
        path: the file; None for memory alone.
    """

    def __init__(self, dimension: int, path: Path | None = None) -> None:
        self.path = path
        self._record = np.dtype([('key', f'V{KEY_SIZE}'), ('row', '<f4', (dimension,)), ('crc', '<u4')])
        self._rows = np.zeros((0, dimension), dtype='<f4')
        self._places: dict[bytes, int] = {}
        if path is not None and path.is_file():
            self._read(path)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def rows(self, keys: Sequence[bytes]) -> np.ndarray:
        """Embeddings of keys that are there, (n, d) float32."""
        return self._rows[[self._places[key] for key in keys]]

    def add(self, keys: Sequence[bytes], rows: np.ndarray) -> None:
        """Keep embeddings, (n, d), of keys that are not there yet."""
        self._remember(keys, rows)
        if self.path is None:
            return
        records = np.empty(len(keys), dtype=self._record)
        records['key'] = np.frombuffer(b''.join(keys), dtype=f'V{KEY_SIZE}')
        records['row'] = rows
        records['crc'] = _checksums(records.tobytes(), self._record.itemsize)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self.path.exists()
            with open(self.path, 'ab') as file:
                file.write(records.tobytes())
            if is_new:
                _prune(self.path.parent)
        except OSError as error:
            reason = error.strerror or str(error)
            print_log(f'class embeddings are not kept in {self.path} ({reason})', 'current', logging.WARNING)
            self.path = None

    def _remember(self, keys: Sequence[bytes], rows: np.ndarray) -> None:
        start = len(self._rows)
        self._rows = np.concatenate([self._rows, rows])
        self._places.update((key, start + i) for i, key in enumerate(keys))

    def _read(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError:
            return
        size = self._record.itemsize
        records = np.frombuffer(data, dtype=self._record, count=len(data) // size)
        sound = records[records['crc'] == _checksums(data, size)][-MOST_ROWS:]
        keys = sound['key'].tobytes()
        self._remember([keys[i : i + KEY_SIZE] for i in range(0, len(keys), KEY_SIZE)], sound['row'])
        if len(sound) * size != len(data):
            with contextlib.suppress(OSError):
                write_bytes(path, sound.tobytes())


def default_folder() -> Path | None:
    """``$FGDET_CACHE/class_embeddings``, or that in ``~/.cache/fgdet``; None where the variable is empty."""
    root = os.environ.get('FGDET_CACHE', '~/.cache/fgdet')
    return Path(root).expanduser() / 'class_embeddings' if root else None


def _checksums(data: bytes, size: int) -> list[int]:
    """CRC-32 of each whole record without its own last 4 bytes."""
    view = memoryview(data)
    return [zlib.crc32(view[i : i + size - 4]) for i in range(0, len(data) - size + 1, size)]


def _prune(folder: Path) -> None:
    for path in sorted(folder.glob(f'*{ENDING}'), key=lambda path: path.stat().st_mtime)[:-MOST_FILES]:
        path.unlink(missing_ok=True)
