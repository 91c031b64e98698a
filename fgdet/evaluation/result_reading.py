"""Reads a COCO result list of any size in the memory that its columns take.

A fast way takes a few megabytes at a time, cut between two entries. What it does not understand is left to an exact
way, which takes one entry after the other and can say what is wrong with which.
"""

import codecs
import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from io import BufferedIOBase
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from fgdet.evaluation.result_columns import ResultColumns
from fgdet.evaluation.result_entries import entry_problem
from fgdet.evaluation.run_lengths import RunLengths
from fgdet.utils.checks import UserError

_BLOCK = 1 << 22  # bytes that are read at once; their entries take some 20 MB for a moment
_BETWEEN = re.compile(rb'\}\s*,\s*(?=\{)')
_TAIL = 1 << 16  # where the last place between two entries is looked for first
_FIRST_KEY = re.compile(r'\{\s*"(\w+)"')
_ANNOTATION_KEYS = ('images', 'annotations', 'categories', 'info', 'licenses', 'videos', 'type')


class _Mask(msgspec.Struct, gc=False):
    size: tuple[int, int]
    counts: str


class _Entry(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    score: float
    bbox: tuple[float, float, float, float] | None = None
    segmentation: _Mask | None = None


_LIST = msgspec.json.Decoder(list[_Entry])
_NO_BOX = (np.nan,) * 4


def read_result_list(file: BufferedIOBase, columns: ResultColumns, where: str, lenient: bool = False) -> None:
    """Read all entries of a list, or of one entry a line, into ``columns``.

    Args:
        file: UTF-8 JSON, indented or not.
        columns: what the entries are added to.
        where: how an error names the file.
        lenient: whether numbers may be null, NaN or infinite, and sizes negative; null becomes NaN.

    Raises:
        UserError: not UTF-8, not JSON, no list, or an entry misses a field or has a wrong value.
    """
    start = file.read(_BLOCK).removeprefix(codecs.BOM_UTF8).lstrip()
    inside = start.startswith(b'[')
    rest = _read_fast(file, start[1:], columns) if inside else start
    if rest is not None:
        _ExactReader(file, rest, columns, where, lenient).read(inside)


def _read_fast(file: BufferedIOBase, buffer: bytes, columns: ResultColumns) -> bytes | None:
    """Read the entries that follow ``[``; return what could not be read, from the start of an entry on, or None.

    Where a cut lies inside of an entry, the piece before it ends within a string or with an open bracket and is no
    JSON: a wrong cut is never taken for a right one.
    """
    while True:
        block = file.read(_BLOCK)
        if not block:
            return None if _decode(buffer, b'', columns) else buffer
        buffer += block
        cut = _last_cut(buffer)
        if cut is None or not _decode(buffer[: cut.start() + 1], b']', columns):
            return buffer
        buffer = buffer[cut.end() :]


def _last_cut(buffer: bytes) -> re.Match[bytes] | None:
    """Find the last place between two entries; near the end, or else anywhere."""
    for start in (max(0, len(buffer) - _TAIL), 0):
        cuts = deque(_BETWEEN.finditer(buffer, start), maxlen=1)
        if cuts:
            return cuts[0]
    return None


def _decode(piece: bytes, end: bytes, columns: ResultColumns) -> bool:
    """Add the entries of a piece of a list, if all are well formed."""
    try:
        if not piece.isascii():
            piece.decode()  # fields that nobody reads are not looked at below
        entries = _LIST.decode(b'[' + piece + end)
        num = len(entries)
        boxes = np.fromiter(
            chain.from_iterable([_NO_BOX if entry.bbox is None else entry.bbox for entry in entries]),
            np.float64,
            4 * num,
        ).reshape(-1, 4)  # (N, 4)
        image_ids = np.fromiter([entry.image_id for entry in entries], np.int64, num)
        category_ids = np.fromiter([entry.category_id for entry in entries], np.int64, num)
        scores = np.fromiter([entry.score for entry in entries], np.float64, num)
        has_mask = np.fromiter([entry.segmentation is not None for entry in entries], bool, num)
        masks = RunLengths.from_dicts(map(_as_dict, entries)) if has_mask.any() else None
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return False
    is_bad = (boxes[:, 2:] < 0).any(axis=1) | (np.isnan(boxes[:, 0]) & ~has_mask)
    if masks is not None:
        is_bad |= has_mask & (masks.sizes < 0).any(axis=1)
    if is_bad.any():
        return False
    columns.add(image_ids, category_ids, boxes, scores, masks)
    return True


def _as_dict(entry: _Entry) -> dict[str, Any] | None:
    mask = entry.segmentation
    return None if mask is None else {'size': mask.size, 'counts': mask.counts}


class _ExactReader:
    """Reads one entry after the other, and knows at which it is when something is wrong."""

    def __init__(self, file: BufferedIOBase, buffer: bytes, columns: ResultColumns, where: str, lenient: bool) -> None:
        self._file, self._columns, self._where, self._lenient = file, columns, where, lenient
        self._utf8 = codecs.getincrementaldecoder('utf-8')()
        self._json = json.JSONDecoder()
        self._entries: list[dict[str, Any]] = []
        self._at, self._ended = 0, False
        self._text = self._decoded(buffer)

    @property
    def _position(self) -> int:
        return len(self._columns) + len(self._entries)

    def read(self, inside: bool) -> None:
        """Read to the end; ``inside`` is whether the bracket of the list has been passed."""
        if not inside and self._next() != '[':
            self._read_lines()
        else:
            self._at += not inside
            self._read_list()
        self._flush()

    def _read_list(self) -> None:
        closed = self._next() == ']' and not self._position
        while not closed:
            self._take(self._value())
            mark = self._next()
            if mark not in (',', ']'):
                self._refuse("expected ',' or ']'" if mark else 'the file ends', before=True)
            closed = mark == ']'
            self._at += not closed
        self._at += 1
        if self._next():
            raise UserError(f'{self._where}: not JSON (more text after the end of the list)')

    def _read_lines(self) -> None:
        if not self._next():
            raise UserError(f'{self._where}: not JSON (the file is empty)')
        first_key = _FIRST_KEY.match(self._text, self._at)
        if first_key and first_key[1] in _ANNOTATION_KEYS:
            self._refuse_type('dict (an annotation file?)')
        while self._next():
            value = self._value()
            if not isinstance(value, dict) or (not self._position and 'image_id' not in value):
                self._refuse_type(type(value).__name__)
            self._take(value)

    def _take(self, entry: Any) -> None:
        problem = entry_problem(entry, self._lenient)
        if problem:
            raise UserError(f'{self._where}, predictions[{self._position}]: {problem}')
        self._entries.append(entry)
        if len(self._entries) >= 10_000:
            self._flush()

    def _flush(self) -> None:
        add_entries(self._columns, self._entries)
        self._entries = []

    def _next(self) -> str:
        """Return the next character that is no white space, without passing it; '' at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in ' \t\n\r':
                self._at += 1
            if self._at < len(self._text) or not self._fill():
                return self._text[self._at : self._at + 1]

    def _value(self) -> Any:
        self._next()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - error.pos > 4 * _BLOCK or not self._fill():
                    self._refuse('the file ends' if error.pos >= len(self._text.rstrip()) else error.msg)
            except RecursionError:
                self._refuse('nested too deeply')
            else:
                if end < len(self._text) or not self._fill():
                    self._at = end
                    return value

    def _fill(self) -> bool:
        """Read more, at least as much again as is waiting; False at the end of the file."""
        if self._ended:
            return False
        self._text = self._text[self._at :]
        self._at = 0
        self._text += self._decoded(self._file.read(max(_BLOCK, len(self._text))))
        return True

    def _decoded(self, block: bytes) -> str:
        self._ended = not block
        try:
            return self._utf8.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise UserError(
                f'{self._where}: not UTF-8 text ({error.reason}) near predictions[{self._position}]; save it as UTF-8'
            ) from error

    def _refuse(self, reason: str, before: bool = False) -> None:
        place = f'after predictions[{self._position - 1}]' if before else f'in predictions[{self._position}]'
        raise UserError(f'{self._where}: not JSON ({reason} {place}); is the file complete?')

    def _refuse_type(self, found: str) -> None:
        raise UserError(f'{self._where}: expected a COCO result list, got a {found}')


def add_entries(columns: ResultColumns, entries: Sequence[Mapping[str, Any]]) -> None:
    """Add entries in which :func:`~fgdet.evaluation.result_entries.entry_problem` finds nothing."""
    masks = [entry.get('segmentation') for entry in entries]
    columns.add(
        np.array([entry['image_id'] for entry in entries], dtype=np.int64),
        np.array([entry['category_id'] for entry in entries], dtype=np.int64),
        np.array([entry.get('bbox') or _NO_BOX for entry in entries], dtype=np.float64).reshape(-1, 4),
        np.array([entry['score'] for entry in entries], dtype=np.float64),
        RunLengths.from_dicts(masks) if any(mask is not None for mask in masks) else None,
    )
