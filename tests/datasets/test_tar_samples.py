"""Tar shards against the standard library's reader, and shards that were made to do harm."""

import random
import tarfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from fgdet.datasets import tar_samples
from fgdet.datasets.tar_samples import DamagedTar, TarSample, read_samples
from tests.builders import write_shard


class OneWay(BytesIO):
    """A stream as a server gives it."""

    def seekable(self) -> bool:
        return False

    def seek(self, *args: Any) -> int:
        raise OSError('not seekable')


def members(count: int, seed: int = 0) -> list[tuple[str, bytes]]:
    rng = random.Random(seed)
    sizes = (0, 1, 511, 512, 513, 3000)
    return [(f'a/{i:03d}.{e}', rng.randbytes(rng.choice(sizes))) for i in range(count) for e in ('jpg', 'json')]


def samples(data: bytes, *args: int, kind: type[BytesIO] = BytesIO) -> list[tuple[int, TarSample]]:
    return list(read_samples(kind(data), *args))


@pytest.mark.parametrize('kind', [BytesIO, OneWay])
@pytest.mark.parametrize('format', [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_samples__same_members_as_the_standard_library(tmp_path: Path, format: int, kind: type[BytesIO]) -> None:
    long = 'd' * 90 + '/' + 'é' * 40
    written = [*members(20), (f'{long}.tar.JPG', b'x'), (f'{long}.json', b'y')]
    with tarfile.open(tmp_path / 'a.tar', 'w', format=format) as tar:
        for name, data in written:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5  # a fraction needs an extended header in the pax format
            tar.addfile(info, BytesIO(data))
    read = samples((tmp_path / 'a.tar').read_bytes(), kind=kind)
    assert [number for number, _ in read] == list(range(21))
    assert [sample.error for _, sample in read] == [None] * 21
    assert [(s.key, *s.members.items()) for _, s in read[:20]] == [
        (name[:-4], ('jpg', data), ('json', other))
        for (name, data), (_, other) in zip(written[:40:2], written[1:40:2], strict=True)
    ]
    assert read[20][1] == TarSample(long, {'tar.jpg': b'x', 'json': b'y'})


@pytest.mark.parametrize('kind', [BytesIO, OneWay])
def test_samples__from_the_middle_and_in_parts(tmp_path: Path, kind: type[BytesIO]) -> None:
    data = write_shard(tmp_path / 'a.tar', members(11)).read_bytes()
    whole = samples(data)
    assert len(whole) == 11
    for first in (0, 4, 11, 12):
        assert samples(data, first, kind=kind) == whole[first:]
        parts = [samples(data, first, part, 3, kind=kind) for part in range(3)]
        assert sorted(sample for part in parts for sample in part) == whole[first:]


def test_samples__cut_at_every_place(tmp_path: Path) -> None:
    whole = write_shard(tmp_path / 'a.tar', members(3)).read_bytes()
    expected = samples(whole)
    ends = whole.rstrip(b'\0')
    for kind in (BytesIO, OneWay):
        for place in range(0, len(ends), 97):
            read = []
            with pytest.raises(DamagedTar):
                for sample in read_samples(kind(whole[:place])):
                    read.append(sample)
            assert read == expected[: len(read)]
            assert len(read) < 3


def header(name: str = 'a.jpg', size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = '') -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info.tobuf(tarfile.GNU_FORMAT)


END = bytes(1024)
GOOD = header('good.json', 2) + b'{}'.ljust(512, b'\0')

REFUSED = {
    'absolute': (header('/etc/cron.d/x.jpg'), 'leaves its folder'),
    'upwards': (header('../../x.jpg'), 'leaves its folder'),
    'upwards inside': (header('a/../../x.jpg'), 'leaves its folder'),
    'upwards with backslashes': (header('..\\x.jpg'), 'leaves its folder'),
    'symbolic link': (header('a.jpg', kind=tarfile.SYMTYPE, link='/etc/passwd'), 'is a link or a device'),
    'hard link': (header('a.jpg', kind=tarfile.LNKTYPE, link='../x'), 'is a link or a device'),
    'device': (header('a.jpg', kind=tarfile.CHRTYPE), 'is a link or a device'),
    'pipe': (header('a.jpg', kind=tarfile.FIFOTYPE), 'is a link or a device'),
    'unknown type': (header('a.jpg', kind=b'Z'), 'is a link or a device'),
    'link that claims a body': (header('a.jpg', 2**40, tarfile.SYMTYPE), 'is a link or a device'),
}


@pytest.mark.parametrize('kind', REFUSED)
def test_hostile_member__is_an_error_and_the_next_is_read(kind: str) -> None:
    bad, message = REFUSED[kind]
    (_, first), (_, second) = samples(bad + GOOD + END)
    assert first.error is not None and message in first.error and not first.members
    assert second == TarSample('good', {'json': b'{}'})


@pytest.mark.parametrize('kind', [BytesIO, OneWay])
def test_huge_member__is_not_read(monkeypatch: pytest.MonkeyPatch, kind: type[BytesIO]) -> None:
    monkeypatch.setattr(tar_samples, 'MOST_BYTES', 600)
    (_, first), (_, second) = samples(header('a.jpg', 700) + bytes(1024) + GOOD + END, kind=kind)
    assert first.error == 'member a.jpg has 700 bytes, more than the 600 allowed' and second.key == 'good'


def test_folders_and_foreign_headers__are_passed_over() -> None:
    extra = header('comment', 5, tarfile.XGLTYPE) + b'hello'.ljust(512, b'\0')
    assert [s.key for _, s in samples(header('d', kind=tarfile.DIRTYPE) + extra + GOOD + END)] == ['good']


DAMAGED = {
    'empty file': (b'', 'without an end mark'),
    'end mark alone': (END, 'no sample'),
    'text': (b'this is no tar' * 100, 'damaged header'),
    'damaged header': (GOOD + b'\xff' * 512, 'damaged header'),
    'no end mark': (GOOD, 'without an end mark'),
    'body beyond the end': (header('a.jpg', 2**33), 'inside of a member|without an end mark'),
    'name of gigabytes': (header('a', 2**33, tarfile.GNUTYPE_LONGNAME), 'extended header of 8589934592 bytes'),
    'extended header of gigabytes': (header('a', 2**33, tarfile.XHDTYPE), 'extended header of 8589934592 bytes'),
    'sparse file': (header('a', 0, tarfile.GNUTYPE_SPARSE), 'type'),
    'endless names': (
        (header('a', 3, tarfile.GNUTYPE_LONGNAME) + b'abc'.ljust(512, b'\0')) * 50,
        'without an end mark',
    ),
}


def with_size(field: bytes) -> bytes:
    """A header whose size is the 12 bytes given, with the check sum of it."""
    raw = bytearray(header())
    raw[124:136] = field
    raw[148:156] = b' ' * 8
    raw[148:156] = b'%06o\0 ' % sum(raw)
    return bytes(raw)


DAMAGED['negative size'] = (with_size(b'\xff' * 11 + b'\x00') * 3, 'size -')


@pytest.mark.parametrize('kind', DAMAGED)
def test_damaged_tar__ends(kind: str) -> None:
    data, message = DAMAGED[kind]
    for stream in (BytesIO, OneWay):
        with pytest.raises(DamagedTar, match=message):
            samples(data, kind=stream)


def test_random_damage__never_another_error(tmp_path: Path) -> None:
    whole = write_shard(tmp_path / 'a.tar', members(4)).read_bytes()
    rng = random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 20)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with suppress(DamagedTar):
            assert len(samples(bytes(data))) <= 8
