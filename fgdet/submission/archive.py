"""The file that goes to the server: written beside its place, read back, and only then put there.

The JSON list has a thousand entries a line, so that it is written and read back in bounded memory.
"""

import errno
import fcntl
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from fgdet.evaluation.result_table import ResultTable
from fgdet.submission.candidates import Masks
from fgdet.submission.rounding import BOX_DECIMALS
from fgdet.utils.checks import UserError, existing_file

_BLOCK = 1000

#: The oldest time that a zip file can tell; a real one would make equal submissions differ.
_NO_TIME = (1980, 1, 1, 0, 0, 0)

OnBlock = Callable[[float], None]


def write_archive(
    path: str | Path,
    member: str,
    table: ResultTable,
    masks: Masks | None,
    on_write: OnBlock = lambda share: None,
    on_check: OnBlock = lambda share: None,
) -> int:
    """Write a checked list, and return its size in bytes; a reader of ``path`` never sees a part of it.

    Boxes are rounded to two decimals, scores are written as they are. Entries for masks have no box.

    Args:
        path: ends in ``.zip``, or in ``.json`` for the bare list; missing folders are made.
        member: the name of the JSON file in the zip file.
        table: the detections, in the order of the entries.
        masks: of the same detections, which entries hold in place of boxes; None for boxes.
        on_write: told the share of entries written, 0 to 1.
        on_check: told the share of entries read back, 0 to 1.

    Raises:
        UserError: another process is writing the same file.
        OSError: the file cannot be written, for example as the disk is full, or what was read back is not what was
            written; the error names it.
    """
    path = Path(os.path.realpath(path))
    try:
        with _partial_file(path) as file:
            if path.suffix == '.zip':
                _write_zip(file, member, table, masks, on_write)
            else:
                _write_list(file, table, masks, on_write)
            file.flush()
            os.fsync(file.fileno())
            _check(file, path, member, table, masks, on_check)
            return os.fstat(file.fileno()).st_size
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def open_list(path: Path) -> tuple[str, IO[bytes]]:
    """Return the name and the open stream of the one JSON file in a zip file.

    Raises:
        UserError: no such file, no zip file, or it holds anything beside one JSON file without a folder.
    """
    try:
        archive = zipfile.ZipFile(existing_file(path, 'archive'))
    except zipfile.BadZipFile as error:
        raise UserError(f'archive {path}: no zip file ({error}); write it again with fgdet submit') from error
    names = archive.namelist()
    if len(names) != 1 or '/' in names[0] or not names[0].endswith('.json'):
        raise UserError(
            f'archive {path}: expected one .json file without a folder, got {", ".join(names) or "nothing"}'
        )
    return names[0], archive.open(names[0])


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[str | None, Path]]:
    """Give the name in the archive and a plain JSON file with its content; of a ``.json`` file None and itself."""
    if path.suffix == '.json':
        yield None, path
        return
    member, stream = open_list(path)
    with tempfile.NamedTemporaryFile(suffix='.json') as copy, stream:
        try:
            while block := stream.read(1 << 20):
                copy.write(block)
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise UserError(f'archive {path}: damaged ({error}); write it again with fgdet submit') from error
        copy.flush()
        yield member, Path(copy.name)


def _entries(table: ResultTable, start: int, masks: Masks | None) -> list[dict[str, Any]]:
    """Return a block of entries as they stand in the file."""
    stop = min(start + _BLOCK, len(table))
    rows = slice(start, stop)
    columns = [table.image_ids[rows].tolist(), table.category_ids[rows].tolist(), table.scores[rows].tolist()]
    if masks is not None:
        field, shapes = 'segmentation', [masks[row] for row in range(start, stop)]
    else:
        field, shapes = 'bbox', (np.round(table.boxes[rows], BOX_DECIMALS) + 0.0).tolist()  # no -0.0
    return [
        {'image_id': image_id, 'category_id': category_id, field: shape, 'score': score}
        for image_id, category_id, score, shape in zip(*columns, shapes, strict=True)
    ]


def _write_list(file: IO[bytes], table: ResultTable, masks: Masks | None, on_write: OnBlock) -> None:
    for start in range(0, len(table), _BLOCK):
        on_write(start / len(table))
        text = msgspec.json.encode(_entries(table, start, masks))
        file.write((b',' if start else b'[') + text[1:-1] + b'\n')
    file.write(b']\n' if len(table) else b'[\n]\n')
    on_write(1.0)


def _write_zip(file: IO[bytes], member: str, table: ResultTable, masks: Masks | None, on_write: OnBlock) -> None:
    info = zipfile.ZipInfo(member, date_time=_NO_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system, info.external_attr = 3, 0o644 << 16  # a plain file that all may read, wherever it was written
    # no more than that: large files need another form of zip, which some readers refuse
    info.file_size = 200 * len(table) + (2 * len(masks.whole.text) if masks is not None else 0)
    with zipfile.ZipFile(file, 'w') as archive, archive.open(info, 'w') as stream:
        _write_list(stream, table, masks, on_write)


def _check(
    file: IO[bytes], path: Path, member: str, table: ResultTable, masks: Masks | None, on_check: OnBlock
) -> None:
    """Read all entries again, through the zip file, and compare them with the table's."""
    file.seek(0)
    try:
        if path.suffix == '.json':
            _compare(file, table, masks, on_check)
            return
        with zipfile.ZipFile(file) as archive:
            if archive.namelist() != [member]:
                raise ValueError(f'{archive.namelist()} in place of {member}')
            with archive.open(member) as stream:
                _compare(stream, table, masks, on_check)
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise OSError(errno.EIO, f'read back otherwise than written: {error}') from error


def _compare(stream: IO[bytes], table: ResultTable, masks: Masks | None, on_check: OnBlock) -> None:
    read = 0
    for start, line in zip(range(0, len(table) + _BLOCK, _BLOCK), stream, strict=False):
        if line == b']\n':
            break
        on_check(start / max(len(table), 1))
        entries = json.loads(b'[' + line.removeprefix(b',' if start else b'[') + b']')
        if entries != _entries(table, start, masks):
            raise ValueError(f'entries from {start} on differ')
        read += len(entries)
    if read != len(table) or line != b']\n' or stream.read():
        raise ValueError(f'{read} of {len(table)} entries')
    on_check(1.0)


@contextmanager
def _partial_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write and read, which takes the place of ``path`` where the block ends well.

    Its name is always the same, so that what a killed run leaves is used by the next one; a lock, which ends with its
    process, keeps two from writing at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.partial')
    with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT, 0o666), 'r+b') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(file.fileno()), os.stat(partial))
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if not mine:
            raise UserError(f'{path}: another process is writing it; wait for its end or choose another name')
        try:
            file.truncate(0)
            yield file
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
