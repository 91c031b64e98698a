"""What came of the links of one shard so far, on disk in the order of arrival: a killed run loses nothing of it."""

import json
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

_HEADER = 1 << 16  # bytes of a header, at most


class Outcome(NamedTuple):
    """What came of a link: facts of the image and its bytes, or why there is none (``reason``, ``detail``)."""

    facts: dict[str, Any]
    data: bytes


class DownloadSpool:
    """An append-only file: for each link one line of JSON, then the image's bytes.

    An entry is written at once, and one that is cut or damaged ends what is read; so each is there whole or not at all.

    Args:
        path: of the file; it is made, and what is in it is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), 'r+b', buffering=0)
        self._places: dict[int, tuple[int, int]] = {}
        self._end = 0
        while entry := self._read(self._end):
            header, data, end = entry
            self._places[header['index']] = (self._end, len(data))
            self._end = end
        self._file.truncate(self._end)

    def __contains__(self, index: int) -> bool:
        return index in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, index: int, outcome: Outcome) -> None:
        """Keep what came of the link of this number in the shard.

        Raises:
            OSError: it cannot be written, for example as the disk is full.
        """
        header = dict(index=index, size=len(outcome.data), crc=zlib.crc32(outcome.data), facts=outcome.facts)
        entry = json.dumps(header).encode() + b'\n' + outcome.data
        try:
            self._file.seek(self._end)
            view = memoryview(entry)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._places[index] = (self._end, len(outcome.data))
        self._end += len(entry)

    def get(self, index: int) -> Outcome:
        """What came of a link."""
        entry = self._read(self._places[index][0])
        if entry is None:
            raise OSError(f'{self.path}: it was changed by something else; delete it and start again')
        return Outcome(entry[0]['facts'], entry[1])

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()

    def remove(self) -> None:
        """Close the file and delete it."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _read(self, place: int) -> tuple[dict[str, Any], bytes, int] | None:
        """Header, data and end of the entry at a place; None where there is no whole one."""
        self._file.seek(place)
        line, _, rest = self._file.read(_HEADER).partition(b'\n')
        try:
            header = json.loads(line)
            left = header['size'] - len(rest)
            data = rest[: header['size']] + (self._read_all(left) if left > 0 else b'')
            whole = len(data) == header['size'] and zlib.crc32(data) == header['crc'] and 'facts' in header
            return (header, data, place + len(line) + 1 + len(data)) if whole and header['index'] >= 0 else None
        except (ValueError, KeyError, TypeError):
            return None

    def _read_all(self, size: int) -> bytes:
        parts = []
        while size > 0 and (part := self._file.read(size)):
            parts.append(part)
            size -= len(part)
        return b''.join(parts)
