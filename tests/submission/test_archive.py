import errno
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from fgdet.evaluation.result_table import ResultTable
from fgdet.submission import archive
from fgdet.submission.archive import unpacked, write_archive
from fgdet.utils.checks import UserError
from tests.submission_builders import entries, in_zip

# Writes an archive, and waits in the middle of it.
SCRIPT = """
import sys, time
from fgdet.evaluation.result_table import ResultTable
from fgdet.submission.archive import write_archive
from tests.submission_builders import entries

def wait(share):
    if share > 0.5:
        print('waiting', flush=True)
        time.sleep(100)

write_archive(sys.argv[1], 'member.json', ResultTable.from_entries(entries(3000)), None, **{sys.argv[2]: wait})
"""


@pytest.fixture
def table():
    return ResultTable.from_entries(entries(3000))


def _write(path, table, **more):
    return write_archive(path, 'member.json', table, None, **more)


@pytest.mark.parametrize('num', [1, 999, 1000, 1001, 2500])
def test_write__what_is_in_the_file_is_the_table(tmp_path, num):
    found = entries(num)
    size = _write(tmp_path / 'new' / 'a.zip', ResultTable.from_entries(found))
    assert size == (tmp_path / 'new' / 'a.zip').stat().st_size
    names, content = in_zip(tmp_path / 'new' / 'a.zip')
    assert names == ['member.json'] and len(content) == num
    for written, meant in zip(content, found, strict=True):
        assert written == meant | {'bbox': [round(value, 2) for value in meant['bbox']]}
    _write(tmp_path / 'a.json', ResultTable.from_entries(found))
    with unpacked(tmp_path / 'new' / 'a.zip') as (member, plain):
        assert member == 'member.json' and plain.read_bytes() == (tmp_path / 'a.json').read_bytes()


def test_write__bytes_are_always_the_same(tmp_path, table, monkeypatch):
    _write(tmp_path / 'a.zip', table)
    first = (tmp_path / 'a.zip').read_bytes()
    monkeypatch.setattr(time, 'time', lambda: 1e9)
    old = os.umask(0o077)
    _write(tmp_path / 'a.zip', table)
    os.umask(old)
    assert (tmp_path / 'a.zip').read_bytes() == first
    assert os.listdir(tmp_path) == ['a.zip']


@pytest.mark.parametrize('suffix', ['.zip', '.json'])
@pytest.mark.parametrize('damage', ['a score', 'an entry less', 'a bit'])
def test_write__what_is_read_back_otherwise_is_not_kept(tmp_path, table, monkeypatch, suffix, damage):
    path = tmp_path / f'a{suffix}'
    path.write_text('old')
    other = ResultTable.from_entries(entries(3000))
    other.scores[1700] += 1e-12
    meant = {'a score': other, 'an entry less': table.select(np.arange(2999)), 'a bit': table}[damage]
    honest = archive._check

    def check(file, *arguments):
        if damage == 'a bit':
            file.seek(500)
            byte = file.read(1)[0]
            file.seek(500)
            file.write(bytes([byte ^ 1]))
        honest(file, *arguments)

    monkeypatch.setattr(archive, '_check', check)
    write = archive._write_list
    monkeypatch.setattr(archive, '_write_list', lambda file, _, *more: write(file, meant, *more))
    with pytest.raises(OSError, match='read back otherwise than written'):
        _write(path, table)
    assert path.read_text() == 'old' and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize('moment', ['on_write', 'on_check'])
def test_killed__no_half_file_and_the_next_run_goes_through(tmp_path, table, moment):
    path = tmp_path / 'a.zip'
    _write(path, table.select(np.arange(7)))
    old = path.read_bytes()
    with subprocess.Popen([sys.executable, '-c', SCRIPT, path, moment], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'waiting\n'
        with pytest.raises(UserError, match='another process is writing it'):
            _write(path, table)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == old and len(os.listdir(tmp_path)) == 2
    _write(path, table)
    assert len(in_zip(path)[1]) == 3000 and os.listdir(tmp_path) == ['a.zip']


def test_told_to_end__nothing_is_left(tmp_path, table):
    def interrupt(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / 'a.zip', table, on_check=interrupt)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('suffix', ['.zip', '.json'])
def test_full_disk__is_said_and_nothing_is_left(tmp_path, table, suffix):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            _write(tmp_path / f'a{suffix}', table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(tmp_path / f'a{suffix}')
    assert os.listdir(tmp_path) == []


def test_unpacked__refuses_what_is_no_submission(tmp_path):
    path = tmp_path / 'a.zip'
    for names in ([], ['a.json', 'b.json'], ['folder/a.json'], ['a.txt']):
        with zipfile.ZipFile(path, 'w') as written:
            for name in names:
                written.writestr(name, '[]')
        with pytest.raises(UserError, match=r'expected one \.json file without a folder'), unpacked(path):
            pass
    path.write_text('no zip file')
    with pytest.raises(UserError, match='no zip file'), unpacked(path):
        pass
