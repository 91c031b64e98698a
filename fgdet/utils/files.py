"""Reading and writing small files: an error names the file, and a written file is never half there."""

import hashlib
import json
import math
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fgdet.utils.checks import UserError, existing_file

_UMASK_LOCK = threading.Lock()
_STREAMS = {'/dev/stdout': 1, '/dev/stderr': 2}


def check_output_file(path: str | Path, what: str) -> Path:
    """Return ``path`` where a file can be written there: to be called before hours of work, not after them.

    Args:
        path: the file; it and its folders need not exist.
        what: how the error names it, for example ``'--json'``.

    Raises:
        UserError: it is a folder, a part of its path is a file, or the folder is not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f'{what} {path}: it is a folder; give the path of a file')
    folder = next((parent for parent in path.absolute().parents if parent.exists()), Path('/'))
    if not folder.is_dir():
        raise UserError(f'{what} {path}: {folder} is no folder; choose another place')
    target, kind = (path, 'file') if path.exists() and not path.is_file() else (folder, 'folder')
    if not os.access(target, os.W_OK):
        raise UserError(f'{what} {path}: the {kind} {target} cannot be written; choose another place')
    return path


def check_files_differ(outputs: Iterable[tuple[str, str | Path]], inputs: Iterable[tuple[str, str | Path]]) -> None:
    """Refuse to write over what is read, or twice to one file.

    Args:
        outputs: how an error names it, and its path; a device or a pipe may stand there more than once.
        inputs: the same.

    Raises:
        UserError: an output is an input too, or two outputs are one file.
    """
    named = {os.path.realpath(path): name for name, path in inputs}
    for name, path in outputs:
        is_special = Path(path).exists() and not Path(path).is_file()
        if not is_special and (other := named.setdefault(os.path.realpath(path), name)) != name:
            raise UserError(f'{name} {path}: {other} is the same file; give it a name of its own')


def read_text(path: str | Path, what: str) -> str:
    """Return the UTF-8 text of a file, without a byte order mark.

    Args:
        path: the file.
        what: how an error names it, for example ``'annotation file'``.

    Raises:
        UserError: no such file, or not UTF-8.
    """
    path = existing_file(path, what)
    try:
        return path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        place = f'{error.reason} at byte {error.start}'
        raise UserError(f'{what} {path}: not UTF-8 text ({place}); save it as UTF-8') from error


def read_json(path: str | Path, what: str) -> Any:
    """Return the content of a JSON file.

    Raises:
        UserError: no such file, not UTF-8 or not JSON.
    """
    try:
        return json.loads(read_text(path, what))
    except json.JSONDecodeError as error:
        raise UserError(
            f'{what} {path}: not JSON ({error.msg} in line {error.lineno}, column {error.colno})'
        ) from error
    except RecursionError as error:
        raise UserError(f'{what} {path}: not JSON (nested too deeply)') from error


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file in one step, as :func:`whole_file` does."""
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Write a file part by part: a reader sees the old file or the whole new one. Missing folders are made.

    A link stays, and what it leads to is written. A device or a pipe, such as ``/dev/stdout``, is written into and
    never replaced: root would take it away from everyone. What the shell sends to a file is written into as well.

    Yields:
        What to write to. Where the block raises, nothing is under the name that was not there before.

    Raises:
        OSError: the file cannot be written, for example as the disk is full; the error names it.
    """
    path = Path(path)
    try:
        with _opened_special(path) or _replacing(Path(os.path.realpath(path))) as file:
            yield file
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _opened_special(path: Path) -> IO[bytes] | None:
    """Open what is no regular file, or is our own output, whatever that leads to; None for all else."""
    if str(path) in _STREAMS:
        return os.fdopen(os.dup(_STREAMS[str(path)]), 'wb')
    return path.open('wb') if path.exists() and not path.is_file() and not path.is_dir() else None


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix='.tmp')
    try:
        with os.fdopen(descriptor, 'wb') as file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, as :func:`write_bytes` does; a file name's byte that is no UTF-8 as JSON's escape for it."""
    write_bytes(path, text.encode('utf-8', 'backslashreplace'))


def write_json(path: str | Path, content: Any, indent: int | None = 1) -> None:
    """Write ``content`` as JSON in one step; NaN and infinities, which JSON lacks, become null.

    Args:
        path: the file; missing folders are made.
        content: dicts, lists, strings, numbers, booleans and None.
        indent: spaces a level; None writes one line, right for long lists.
    """
    try:
        text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(content), indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, text + '\n')


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def _umask() -> int:
    with _UMASK_LOCK:  # between the two calls it is another one, which a second thread would take for the process's
        mask = os.umask(0)
        os.umask(mask)
    return mask


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with open(path, 'rb') as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
