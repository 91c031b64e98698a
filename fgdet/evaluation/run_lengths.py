"""Compressed run lengths of many masks as three columns instead of a dict for each.

Axis letter: N masks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np


class RunLengths(Sequence):
    """N compressed run lengths, read as dicts ``{'size': [H, W], 'counts': text}``; None where a detection has none.

    Six million masks of 60 characters take 0.5 GB, where their dicts take 3 GB.

    Args:
        sizes: (N, 2) int32, height and width; -1 where there is none.
        ends: (N,) int64, where each mask's text ends in ``text``.
        text: the ASCII texts one after another.
    """

    def __init__(self, sizes: np.ndarray, ends: np.ndarray, text: bytes | bytearray) -> None:
        self.sizes = sizes
        self.ends = ends
        self.text = text

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> 'RunLengths': ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        if self.sizes[index, 0] < 0:
            return None
        start = int(self.ends[index - 1]) if index else 0
        return {
            'size': self.sizes[index].tolist(),
            'counts': bytes(self.text[start : int(self.ends[index])]).decode('ascii'),
        }

    def __iter__(self) -> Iterator[dict[str, Any] | None]:
        text, start = bytes(self.text), 0
        for size, end in zip(self.sizes.tolist(), self.ends.tolist(), strict=True):
            yield None if size[0] < 0 else {'size': size, 'counts': text[start:end].decode('ascii')}
            start = end

    def take(self, rows: np.ndarray) -> 'RunLengths':
        """Return the masks of the indices ``rows``, in that order."""
        ends = self.ends[rows]
        starts = np.concatenate([[0], self.ends[:-1]])[rows] if len(self) else ends
        text, whole = bytearray(), memoryview(self.text)
        for first in range(0, len(rows), 65536):
            block = slice(first, first + 65536)
            for start, end in zip(starts[block].tolist(), ends[block].tolist(), strict=True):
                text += whole[start:end]
        return RunLengths(self.sizes[rows], np.cumsum(ends - starts), text)

    @classmethod
    def from_dicts(cls, segmentations: Iterable[Mapping[str, Any] | None]) -> 'RunLengths':
        """Return the columns of dicts whose ``counts`` are ASCII text or bytes."""
        sizes: list[Sequence[int]] = []
        parts: list[bytes] = []
        for each in segmentations:
            sizes.append((-1, -1) if each is None else each['size'])
            counts = b'' if each is None else each['counts']
            parts.append(counts.encode('ascii') if isinstance(counts, str) else counts)
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return cls(np.array(sizes, dtype=np.int32).reshape(-1, 2), ends, b''.join(parts))
