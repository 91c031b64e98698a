"""Detections on their way to and from disk: shards while a test runs, and COCO result lists part by part.

A shard is one process's detections, image after image, for the run that wrote it. It begins with one line of JSON that
describes it. Then comes a block for each image: three int64 (the image's id, N detections, C characters), N records,
and the C characters of the masks' run lengths. All numbers are little-endian. Boxes and scores are float64, so that
they are those of a result list to the last digit.

Axis letter: N detections of one image.
"""

import json
import os
import socket
import struct
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, count, zip_longest
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import numpy as np

from fgdet.evaluation.result_columns import ResultColumns
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.run_lengths import RunLengths
from fgdet.utils.checks import UserError
from fgdet.utils.files import whole_file

_BLOCK = struct.Struct('<qqq')
_RECORD = np.dtype(
    [('category_id', '<i8'), ('bbox', '<f8', (4,)), ('score', '<f8'), ('mask_size', '<i4', (2,)), ('mask_end', '<i8')]
)
_HEADER = {
    'fgdet_predictions': 1,
    'block': 'int64 image_id, N, C; N records; C characters of compressed run lengths',
    'record': _RECORD.descr,
    'mask_size': 'height, width; -1 without a mask',
    'mask_end': "where the mask's characters end among the C",
}
_MAGIC = b'{"fgdet_predictions": 1,'
_ENTRIES_AT_ONCE = 10_000


class Shard(NamedTuple):
    """What a process tells of the shard that it has written."""

    path: str
    host: str
    num_bytes: int


class ShardWriter:
    """Writes one process's detections as they come; nothing of them stays in memory.

    The file is removed when the writer goes, by :meth:`remove`, at the end of the process or before.

    Args:
        folder: where the file is made, under a name of its own; missing folders are made.
        rank: the process's number, for the name.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path, rank: int = 0) -> None:
        folder = Path(folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f'predictions-{socket.gethostname()}-{os.getpid()}-{rank}-{os.urandom(4).hex()}.shard'
        self._file = self.path.open('xb')
        self._remove = weakref.finalize(self, _remove, self._file, self.path)
        self._file.write(json.dumps(_HEADER).encode('ascii') + b'\n')

    def add(
        self,
        image_id: int,
        category_ids: np.ndarray,
        boxes: np.ndarray,
        scores: np.ndarray,
        masks: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        """Append one image's detections, also none: (N,), (N, 4) xywh, (N,), and N compressed run lengths."""
        records = np.zeros(len(category_ids), dtype=_RECORD)
        records['category_id'], records['bbox'], records['score'] = category_ids, boxes, scores
        records['mask_size'] = -1
        text: bytes | bytearray = b''
        if masks is not None:
            columns = RunLengths.from_dicts(masks)
            records['mask_size'], records['mask_end'], text = columns.sizes, columns.ends, columns.text
        self._file.write(_BLOCK.pack(image_id, len(records), len(text)) + records.tobytes() + text)

    def flush(self) -> None:
        """Hand what was added to the operating system: it survives a crash of this process."""
        self._file.flush()

    def finish(self) -> Shard:
        """Close the file, which stays until :meth:`remove`."""
        num_bytes = self._file.tell()
        self._file.close()
        return Shard(str(self.path), socket.gethostname(), num_bytes)

    def keep(self) -> None:
        """Leave the file where it is."""
        self._remove.detach()

    def remove(self) -> None:
        """Remove the file."""
        self._remove()


def _remove(file: IO[bytes], path: Path) -> None:
    file.close()
    path.unlink(missing_ok=True)


def check_shards(shards: Sequence[Shard]) -> None:
    """Raise UserError where this process does not see a shard as the one that wrote it left it."""
    for rank, shard in enumerate(shards):
        path = Path(shard.path)
        found = path.stat().st_size if path.is_file() else None
        if found != shard.num_bytes:
            here = 'has no such file' if found is None else f'finds {found} bytes'
            raise UserError(
                f'predictions of process {rank}: {shard.num_bytes} bytes were written on {shard.host} to {path}, but '
                f'process 0 on {socket.gethostname()} {here}; let results_folder be a folder that all machines share'
            )


def is_shard(start: bytes) -> bool:
    """Whether a file that starts like this is a shard."""
    return start.startswith(_MAGIC)


def read_shards(paths: Sequence[str | Path]) -> tuple[ResultTable, int]:
    """Read what processes have written.

    Images stand as if one process had seen them: the first of each shard, then the second of each. One that a sampler
    has given twice to fill a batch counts once.

    Returns:
        The detections, and the number of images, also those without a detection.

    Raises:
        UserError: a file is no shard or was cut off.
    """
    columns = ResultColumns()
    seen: set[int] = set()
    with ExitStack() as stack:
        shards = [_blocks(stack.enter_context(Path(path).open('rb')), path) for path in paths]
        for block in chain.from_iterable(zip_longest(*shards)):
            if block is None or block[0] in seen:
                continue
            image_id, records, text = block
            seen.add(image_id)
            sizes = records['mask_size']
            masks = RunLengths(sizes, records['mask_end'], text) if (sizes >= 0).any() else None
            image_ids = np.full(len(records), image_id)
            columns.add(image_ids, records['category_id'], records['bbox'], records['score'], masks)
    return columns.table(), len(seen)


def _blocks(file: IO[bytes], path: str | Path) -> Iterator[tuple[int, np.ndarray, bytes]]:
    """Yield each image's id, records (N,) and characters."""
    if not is_shard(file.readline()):
        raise UserError(f'prediction file {path}: it is no shard of predictions')
    for num_images in count():
        head = file.read(_BLOCK.size)
        if not head:
            return
        if len(head) == _BLOCK.size:
            image_id, num, num_characters = _BLOCK.unpack(head)
            data = file.read(num * _RECORD.itemsize + num_characters)
            if len(data) == num * _RECORD.itemsize + num_characters:
                yield image_id, np.frombuffer(data, _RECORD, num), data[num * _RECORD.itemsize :]
                continue
        raise UserError(f'prediction file {path}: cut off after {num_images} images; run the test again')


def write_result_list(path: str | Path, table: ResultTable) -> None:
    """Write a COCO result list part by part; under ``path`` is the old file or the whole new one.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(path) as file:
        for part in result_list_parts(table):
            file.write(part)


def result_list_parts(table: ResultTable) -> Iterator[bytes]:
    """Yield the UTF-8 text of a COCO result list in parts of some thousand detections; every digit is kept."""
    yield b'['
    for start in range(0, len(table), _ENTRIES_AT_ONCE):
        rows = np.arange(start, min(start + _ENTRIES_AT_ONCE, len(table)))
        entries = msgspec.json.encode(list(table.select(rows).to_entries()))
        yield (b',\n' if start else b'') + entries[1:-1]
    yield b']\n'
