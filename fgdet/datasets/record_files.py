"""Records files of any size: where each record lies is looked up once, and a record is read when it is asked for."""

import fcntl
import hashlib
import json
import logging
import os
import re
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from mmengine.logging import print_log

from fgdet.utils.checks import UserError, existing_file

#: A longer record, in bytes, is refused unread; one of FineHARD has a few thousand.
MOST_BYTES = 1 << 20
#: Where the files hold fewer bytes than this in all, their index is made anew each time and not stored.
SMALLEST_STORED = 16 << 20
_CHUNK = 4 << 20
_BYTE_ORDER_MARK = b'\xef\xbb\xbf'
_ESCAPE = re.compile(rb'\\.', re.DOTALL)
_COMMA = 2
_KINDS = np.zeros(256, np.int8)  # of a byte outside of a text: +1 opens a level, -1 closes one
_KINDS[[ord('['), ord('{')]] = 1
_KINDS[[ord(']'), ord('}')]] = -1
_KINDS[ord(',')] = _COMMA
_VISIBLE = np.ones(256, np.bool_)
_VISIBLE[list(b' \t\r\n')] = False


class Record(NamedTuple):
    """One entry of a records file: its content, or why it has none."""

    source: str  # 'file:line' or 'file[index]'
    content: dict[str, Any] | None
    error: str | None = None


class RecordFiles(Sequence[Record]):
    """The records of a JSON list, of JSON lines, or of a folder of such files, as a sequence that holds none of them.

    The index has four numbers a record. It is stored under a name that changes with the files' names, sizes and times
    of change, so it is never out of date; it is memory-mapped, and a worker that looks up single records holds none of
    it. A record that is broken, also the last one of a file that was cut, is an entry with an error.

    Args:
        path: a ``.json`` or ``.jsonl`` file, or a folder, of which such files are read in the order of their names.
        cache_dir: where the index is stored; None is ``$XDG_CACHE_HOME/fgdet/records``, or the same in ``~/.cache``.
            Where it cannot be written the index stays in memory.

    Raises:
        UserError: the path does not exist, or a file is neither a JSON list nor one JSON object a line.
    """

    def __init__(self, path: str | Path, cache_dir: str | Path | None = None) -> None:
        self.path = Path(path)
        self.files = _files(self.path)
        self.cache_dir = Path(cache_dir) if cache_dir else _default_cache()
        self._index: np.ndarray | None = None  # (N, 4) int64: file, first byte, end, line or ~index
        self._stored: int | None = None  # descriptor of the stored index
        self._rows()
        self._check_are_json()

    def __len__(self) -> int:
        return len(self._rows())

    def __getitem__(self, position: Any) -> Any:
        """The record at a position from 0 to ``len(self) - 1``."""
        if not 0 <= position < len(self):
            raise IndexError(f'record {position} of {len(self)}')
        file, start, end, number = self._row(position)
        path = self.files[file]
        source = f'{path}:{number}' if number > 0 else f'{path}[{~number}]'
        return _read(path, start, end, source)

    def __getstate__(self) -> dict[str, Any]:
        """What a worker gets: the index itself only where it is not stored."""
        return self.__dict__ | dict(_stored=None) | (dict(_index=None) if isinstance(self._index, np.memmap) else {})

    def _row(self, position: int) -> list[int]:
        rows = self._rows()
        if not isinstance(rows, np.memmap):
            return rows[position].tolist()
        if self._stored is None:  # read, for the pages of a map would count as memory of every worker
            self._stored = os.open(str(rows.filename), os.O_RDONLY)
            weakref.finalize(self, os.close, self._stored)
        data = os.pread(self._stored, rows.strides[0], rows.offset + position * rows.strides[0])
        return np.frombuffer(data, rows.dtype).tolist()

    def _rows(self) -> np.ndarray:
        if self._index is None:
            self._index = self._open_index()
        return self._index

    def _open_index(self) -> np.ndarray:
        stats = [file.stat() for file in self.files]
        if sum(stat.st_size for stat in stats) < SMALLEST_STORED:
            return _index_files(self.files)
        key = [
            (str(file.resolve()), stat.st_size, stat.st_mtime_ns) for file, stat in zip(self.files, stats, strict=True)
        ]
        stored = self.cache_dir / f'{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.npy'
        try:
            stored.parent.mkdir(parents=True, exist_ok=True)
            with _locked(stored.with_suffix('.lock')):  # of several processes one looks through the files
                if (index := _load_index(stored)) is None:
                    print_log(f'records {self.path}: indexing, once', logger='current')
                    temporary = stored.with_suffix(f'.{os.getpid()}.tmp.npy')
                    try:
                        np.save(temporary, _index_files(self.files))
                        os.replace(temporary, stored)
                    finally:
                        temporary.unlink(missing_ok=True)
                    index = _load_index(stored)
        except OSError as error:
            print_log(f'records {self.path}: the index stays in memory ({error})', 'current', logging.WARNING)
            index = None
        return _index_files(self.files) if index is None else index

    def _check_are_json(self) -> None:
        """Raise UserError where none of a file's first records is JSON."""
        bounds = np.searchsorted(self._rows()[:, 0], np.arange(len(self.files) + 1)).tolist()
        for file, first, end in zip(self.files, bounds, bounds[1:], strict=False):
            some = range(first, min(end, first + 100))
            if some and not any(_is_json(self[position]) for position in some):
                raise UserError(
                    f'records file {file}: neither a JSON list nor one JSON object a line ({self[first].error})'
                )


def read_records(path: str | Path) -> Iterator[Record]:
    """Read a records file, or all ``.json`` and ``.jsonl`` files of a folder in the order of their names.

    Raises:
        UserError: as :class:`RecordFiles` does.
    """
    records = RecordFiles(path)
    return (records[position] for position in range(len(records)))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [existing_file(path, 'records file')]
    found = sorted(p for p in path.iterdir() if p.suffix in {'.json', '.jsonl'})
    for file in found:
        if not file.is_file():
            print_log(f'skipped {file}: it is no file', logger='current', level=logging.WARNING)
    return [file for file in found if file.is_file()]


def _default_cache() -> Path:
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'fgdet' / 'records'


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, 'w') as file:
        with suppress(OSError):  # a file system without locks: each process then does the work
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _load_index(path: Path) -> np.ndarray | None:
    try:
        index = np.load(path, mmap_mode='r')
    except (OSError, ValueError, EOFError):
        return None
    return index if index.dtype == np.int64 and index.ndim == 2 and index.shape[1] == 4 else None


# -- one record ----------------------------------------------------------------------------------------------------


def _read(path: Path, start: int, end: int, source: str) -> Record:
    if end - start > MOST_BYTES:
        return Record(source, None, f'a record of {end - start} bytes, more than the {MOST_BYTES} allowed')
    try:
        with open(path, 'rb') as file:
            file.seek(start)
            data = file.read(end - start)
        entry = json.loads(data.decode('utf-8', errors='replace'))
    except json.JSONDecodeError as error:
        return Record(source, None, f'not valid JSON ({error.msg})')
    except (ValueError, RecursionError) as error:  # a number of too many digits, lists too deep
        return Record(source, None, f'not usable JSON ({error})')
    except OSError as error:
        return Record(source, None, f'cannot be read ({error.strerror})')
    if not isinstance(entry, dict):
        return Record(source, None, f'a record must be an object, got {type(entry).__name__}')
    return Record(source, entry)


def _is_json(record: Record) -> bool:
    return record.content is not None or not (record.error or '').startswith('not valid')


# -- the index -----------------------------------------------------------------------------------------------------


def _index_files(files: Sequence[Path]) -> np.ndarray:
    """(N, 4) int64: file, first byte, end, and the line from 1 or ``~index`` in a list."""
    parts = [np.empty((0, 4), np.int64)]
    for number, path in enumerate(files):
        with open(path, 'rb') as file:
            offset = len(_BYTE_ORDER_MARK) if file.read(3) == _BYTE_ORDER_MARK else 0
            file.seek(offset)
            head = b' '
            while head and not head.strip():
                head = file.read(4096)
            file.seek(offset)
            is_list = head.lstrip().startswith(b'[')
            for spans in _list_spans(file, path) if is_list else _line_spans(file):
                parts.append(np.insert(spans, 0, number, axis=1))
    return np.concatenate(parts)


def _line_spans(file: BinaryIO) -> Iterator[np.ndarray]:
    """(n, 3) first byte, end and number of the lines that are not blank, from the file's position on."""
    begin, number, visible, size = file.tell(), 1, 0, file.tell()
    for block in iter(partial(file.read, _CHUNK), b''):
        codes = np.frombuffer(block, np.uint8)
        breaks = np.flatnonzero(codes == ord('\n'))
        seen = visible + np.cumsum(_VISIBLE[codes])  # so far, of the line that the block begins in
        ends = size + breaks
        begins = np.concatenate([[begin], ends + 1])
        numbers = np.arange(number, number + len(breaks))
        filled = np.diff(seen[breaks], prepend=0) > 0
        yield np.stack([begins[:-1], ends, numbers], 1)[filled]
        size += len(block)
        begin, number = int(begins[-1]), number + len(breaks)
        visible = int(seen[-1] - seen[breaks[-1]]) if len(breaks) else int(seen[-1])
    if visible:
        yield np.array([[begin, size, number]])


def _list_spans(file: BinaryIO, path: Path) -> Iterator[np.ndarray]:
    """(n, 3) first byte, end and ``~index`` of the elements of the list that begins at the file's position.

    Texts are told from what is between them by counting quotes, levels by counting brackets; what an element holds is
    checked when it is read.
    """
    depth, in_text, begin, count, offset, held = 0, 0, -1, 0, file.tell(), b''
    for block in iter(partial(file.read, _CHUNK), b''):
        data = held + block
        held = data[-1:] if (len(data) - len(data.rstrip(b'\\'))) % 2 else b''  # an escape that goes on in the next
        data = data[: len(data) - len(held)]
        codes = np.frombuffer(_ESCAPE.sub(b'  ', data) if b'\\' in data else data, np.uint8)
        if not len(codes):
            continue
        quotes = np.cumsum(codes == ord('"'), dtype=np.uint8) + np.uint8(in_text)  # only its last bit counts
        in_text = int(quotes[-1] & 1)
        kinds = _KINDS[codes]
        places = np.flatnonzero((kinds != 0) & (quotes & 1 == 0))
        kinds = kinds[places]
        depths = depth + np.cumsum(np.where(kinds == _COMMA, 0, kinds), dtype=np.int64)
        if begin < 0 and len(places):
            begin = offset + int(places[0]) + 1
        is_last = depths == 0
        last = int(is_last.argmax()) + 1 if is_last.any() else len(places)
        ends = offset + places[:last][((kinds == _COMMA) & (depths == 1) | is_last)[:last]]
        if count == 0 and len(ends) == 1 and is_last.any() and not data[begin - offset : ends[0] - offset].strip():
            ends = ends[:0]  # an empty list
        yield _elements(begin, ends, count)
        count += len(ends)
        begin = int(ends[-1]) + 1 if len(ends) else begin
        if is_last.any():
            begin = offset + int(places[last - 1]) + 1
            break
        depth, offset = int(depths[-1]) if len(depths) else depth, offset + len(data)
    else:
        print_log(f'records file {path}: the list has no end; was it cut?', logger='current', level=logging.WARNING)
    end = file.seek(0, os.SEEK_END)
    file.seek(begin)
    if file.read(min(end - begin, _CHUNK)).strip():  # an element that was cut, or something after the list
        yield np.array([[begin, end, ~count]])


def _elements(begin: int, ends: np.ndarray, count: int) -> np.ndarray:
    begins = np.concatenate([[begin], ends + 1])[: len(ends)]
    return np.stack([begins, ends, ~np.arange(count, count + len(ends))], 1).astype(np.int64)
