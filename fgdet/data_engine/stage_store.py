"""What a stage has done, kept so that a process may be killed at any moment.

A folder for each stage holds part files of JSON lines that only grow. Each line carries a checksum, so one that was cut
or damaged is known; the record it was of is then done again.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.stage import Failure

#: Bytes from which a part file is followed by another.
PART_BYTES = 64 << 20
KEPT, DROPPED, FAILED = range(3)
_HEAD, _MIDDLE, _ITEM, _TAIL = b'{"crc": "', b'", "head": ', b', "item": ', b'}\n'


class _Entry(NamedTuple):
    """Where the line of a record lies, and what is needed of it without reading it again."""

    part: int
    start: int
    size: int
    source: int
    digest: int
    state: int


class StageStore:
    """Results by record key, the last one of a key counting.

    Args:
        folder: of the part files; made when something is added. Only one process may add at a time.
        read_only: nothing is mended.

    Attributes:
        damaged: lines that were found broken, the cut end of the last part not among them.
    """

    def __init__(self, folder: str | Path, read_only: bool = False) -> None:
        self.folder = Path(folder)
        self.damaged = 0
        self._index: dict[str, _Entry] = {}
        self._parts = sorted(self.folder.glob('part-*.jsonl'))
        self._writing: IO[bytes] | None = None
        self._end = 0
        for number, path in enumerate(self._parts):
            self._end = self._index_part(number, path)
        if self._parts and not read_only and self._end < self._parts[-1].stat().st_size:
            os.truncate(self._parts[-1], self._end)

    def __enter__(self) -> 'StageStore':
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def is_done(self, key: str, source: int) -> bool:
        """Whether there is a result of this record, made of what it is now.

        Args:
            key: of the record.
            source: :func:`digest_of` what the stage was given.
        """
        entry = self._index.get(key)
        return entry is not None and entry.source == source

    def state(self, key: str) -> int:
        """KEPT, DROPPED by a filter, or FAILED."""
        return self._index[key].state

    def digest(self, key: str) -> int:
        """:func:`digest_of` the result."""
        return self._index[key].digest

    def read(self, key: str) -> ImageRecord | Failure:
        """The result of a record.

        Raises:
            KeyError: there is none.
            ValueError: the line has been damaged since the store was opened.
        """
        entry = self._index[key]
        with open(self._parts[entry.part], 'rb') as file:
            file.seek(entry.start)
            found = _parts_of(file.read(entry.size))
        if found is None or json.loads(found[0])[0] != key:
            raise ValueError(f'{self._parts[entry.part]}: the line at byte {entry.start} is damaged; start again')
        content = json.loads(found[1])
        return Failure(key, **content) if entry.state == FAILED else ImageRecord.from_json(content)

    def add(self, key: str, source: int, result: ImageRecord | Failure) -> None:
        """Append a result; it is with the system, not in this process, when this returns.

        Args:
            key: of the record.
            source: as of :meth:`is_done`.
            result: one that JSON cannot hold is stored as a failure.

        Raises:
            OSError: it cannot be written, as when the disk is full; what was written before stays whole.
        """
        state, item = _to_item(key, result)
        head = json.dumps([key, f'{source:016x}', f'{_digest(item):016x}', state]).encode()
        data = head + _ITEM + item
        line = _HEAD + b'%08x' % zlib.crc32(data) + _MIDDLE + data + _TAIL
        if self._writing is None or self._end >= PART_BYTES:
            self._open_part()
        assert self._writing is not None
        try:
            left = memoryview(line)
            while left:
                left = left[self._writing.write(left) :]
        except OSError as error:
            with suppress(OSError):
                os.truncate(self._parts[-1], self._end)
            raise OSError(error.errno, error.strerror, str(self._parts[-1])) from error
        self._index[key] = _Entry(len(self._parts) - 1, self._end, len(line), source, _digest(item), state)
        self._end += len(line)

    def close(self) -> None:
        """Bring what was added to the disk."""
        if self._writing is not None:
            with suppress(OSError):
                os.fsync(self._writing.fileno())
            self._writing.close()
        self._writing = None

    def _open_part(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._writing is not None:
            os.fsync(self._writing.fileno())
            self._writing.close()
        if not self._parts or self._end >= PART_BYTES:
            self._parts.append(self.folder / f'part-{len(self._parts):06d}.jsonl')
            self._end = 0
        self._writing = self._parts[-1].open('ab', buffering=0)

    def _index_part(self, number: int, path: Path) -> int:
        """Take the whole lines of a part into the index; returns where the last one ends."""
        end = start = 0
        broken = 0
        with open(path, 'rb') as file:
            for line in file:
                found = _parts_of(line)
                if found is None:
                    broken += line.endswith(b'\n')
                else:
                    key, source, digest, state = json.loads(found[0])
                    self._index[key] = _Entry(number, start, len(line), int(source, 16), int(digest, 16), state)
                start += len(line)
                end = start if line.endswith(b'\n') else end
        self.damaged += broken
        return end


class StoredRecords:
    """Records of a store in a given order, read when they are asked for: a sequence that holds none of them."""

    def __init__(self, store: Any, keys: list[str]) -> None:
        self.store, self.keys = store, keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, position: int) -> ImageRecord:
        return self.store.read(self.keys[position])

    def __iter__(self) -> Iterator[ImageRecord]:
        return (self.store.read(key) for key in self.keys)


def digest_of(content: Any) -> int:
    """64 bits that stand for what JSON can hold: equal for equal content on every machine."""
    return _digest(json.dumps(content, sort_keys=True).encode())


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), 'big')


def _to_item(key: str, result: ImageRecord | Failure) -> tuple[int, bytes]:
    """The state of a result, and its JSON."""
    if isinstance(result, ImageRecord):
        try:
            item = json.dumps(result.to_json(), sort_keys=True, allow_nan=False).encode()
            return (KEPT if result.dropped is None else DROPPED), item
        except (TypeError, ValueError) as error:
            result = Failure(key, f'the result cannot be kept as JSON ({error})')
    return FAILED, json.dumps(dict(reason=result.reason, again=result.again), sort_keys=True).encode()


def _parts_of(line: bytes) -> tuple[bytes, bytes] | None:
    """Head and item of a line; None where it is cut or its checksum is wrong."""
    data = line[len(_HEAD) + 8 + len(_MIDDLE) : -len(_TAIL)]
    crc = line[len(_HEAD) : len(_HEAD) + 8]
    if line != _HEAD + crc + _MIDDLE + data + _TAIL or crc != b'%08x' % zlib.crc32(data):
        return None
    head, _, item = data.partition(_ITEM)
    return head, item
