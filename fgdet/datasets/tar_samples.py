"""Samples of a tar shard in the WebDataset convention, read in order from any stream and safe against a hostile file.

Members are read by a few lines of our own on top of the header parser of :mod:`tarfile`: its readers take extended
headers of any length into memory and, in some versions of Python, loop for ever on a negative size.
"""

import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

#: A larger member, in bytes, is refused unread.
MOST_BYTES = 64 << 20
_MOST_NAME_BYTES = 1 << 16
_BLOCK = 512
_PAX_PATH = re.compile(rb'\d+ path=([^\n]*)\n')
_NO_BODY = {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE}
_PLAIN = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}


class DamagedTar(ValueError):
    """A shard that cannot be read further; the message says why."""


class TarSample(NamedTuple):
    """The members of one key by their extension in lower case, or why they cannot be used."""

    key: str
    members: dict[str, bytes]
    error: str | None = None


def read_samples(file: BinaryIO, first: int = 0, part: int = 0, num_parts: int = 1) -> Iterator[tuple[int, TarSample]]:
    """Samples of a tar with their numbers: neighbouring members that share all of their name before the first dot.

    Nothing is ever written, so that a name is only a key; one that is absolute or goes upwards is an error all the
    same, as are links, devices and members over :data:`MOST_BYTES`. Folders are passed over.

    Args:
        file: the tar, not compressed; it need not be seekable.
        first: number of the first sample wanted.
        part: of every ``num_parts`` samples the one wanted.
        num_parts: at least 1.

    Raises:
        DamagedTar: the file is no tar, a header is damaged, it ends too early, or there is no sample in it.
    """
    tar, number, sample = _Tar(file), -1, TarSample('', {})
    while (info := tar.next_member()) is not None:
        if info.isdir():
            continue
        folder, slash, name = info.name.rpartition('/')
        stem, _, extension = name.partition('.')
        key = folder + slash + stem
        if number < 0 or key != sample.key:
            if _is_wanted(number, first, part, num_parts):
                yield number, sample
            number, sample = number + 1, TarSample(key, {})
        if _is_wanted(number, first, part, num_parts):
            error = _refusal(info)
            if error is None:
                sample.members[extension.lower()] = tar.read_body(info.size)
            else:
                sample = sample._replace(error=error)
    if number < 0:
        raise DamagedTar('there is no sample in it')
    if _is_wanted(number, first, part, num_parts):
        yield number, sample


def _is_wanted(number: int, first: int, part: int, num_parts: int) -> bool:
    return number >= first and number % num_parts == part


def _refusal(info: tarfile.TarInfo) -> str | None:
    if info.name.startswith(('/', '\\')) or '..' in re.split(r'[/\\]', info.name) or '\0' in info.name:
        return f'member name {info.name!r} leaves its folder'
    if info.type not in _PLAIN:
        return f'member {info.name} is a link or a device'
    if info.size > MOST_BYTES:
        return f'member {info.name} has {info.size} bytes, more than the {MOST_BYTES} allowed'
    return None


class _Tar:
    """A tar that is read forwards."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ahead = 0  # bytes between the file's position and the next header

    def next_member(self) -> tarfile.TarInfo | None:
        """The next header that is of a member, or None at the end mark."""
        name = None
        while True:
            self._skip()
            header = self._file.read(_BLOCK)
            if not header.strip(b'\0') and len(header) == _BLOCK:
                return None
            try:
                info = tarfile.TarInfo.frombuf(header, 'utf-8', 'backslashreplace')
            except tarfile.HeaderError as error:
                what = 'it ends without an end mark' if len(header) < _BLOCK else f'damaged header ({error})'
                raise DamagedTar(what) from error
            if info.size < 0 or info.type == tarfile.GNUTYPE_SPARSE:
                raise DamagedTar(f'a member of type {info.type!r} and size {info.size}')
            if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
                body = self._extended_header(info.size)
                paths = [body.rstrip(b'\0')] if info.type == tarfile.GNUTYPE_LONGNAME else _PAX_PATH.findall(body)
                name = paths[-1].decode('utf-8', 'backslashreplace') if paths else name
                continue
            self._ahead = 0 if info.type in _NO_BODY else -(-info.size // _BLOCK) * _BLOCK
            if info.type in (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
                continue
            info.name = name or info.name
            return info

    def read_body(self, size: int) -> bytes:
        """The ``size`` bytes that follow the header of a member."""
        data = self._file.read(size)
        self._ahead -= size
        if len(data) < size:
            raise DamagedTar('it ends inside of a member')
        return data

    def _extended_header(self, size: int) -> bytes:
        if size > _MOST_NAME_BYTES:
            raise DamagedTar(f'an extended header of {size} bytes')
        self._ahead = -(-size // _BLOCK) * _BLOCK
        return self.read_body(size)

    def _skip(self) -> None:
        if self._file.seekable():
            self._file.seek(self._ahead, 1)
        else:
            while self._ahead > 0:
                step = len(self._file.read(min(self._ahead, 1 << 20)))
                if not step:
                    raise DamagedTar('it ends inside of a member')
                self._ahead -= step
        self._ahead = 0
