import hashlib
import json
import os
import stat
import subprocess
import sys
import threading

import pytest

from fgdet.utils.checks import UserError
from fgdet.utils.files import check_files_differ, read_json, sha256_of, whole_file, write_json, write_text


def test_write_json__not_a_number_becomes_null(tmp_path):
    path = tmp_path / 'new' / 'a.json'
    write_json(path, {'a': float('nan'), 'b': [1.5, float('inf')], 'c': 'é'})
    assert json.loads(path.read_text(encoding='utf-8')) == {'a': None, 'b': [1.5, None], 'c': 'é'}


def test_write_text__failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.txt'
    write_text(path, 'old')
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.write(b'new')
        raise ZeroDivisionError
    assert path.read_text() == 'old'
    assert [entry.name for entry in tmp_path.iterdir()] == ['a.txt']


def test_read_json__says_where_it_is_broken(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{"a": 1,\n "b" 2}')
    with pytest.raises(UserError, match=r'annotation file .*a\.json: not JSON .* line 2'):
        read_json(path, 'annotation file')


def test_write_text__an_error_names_the_file_that_was_meant(tmp_path):
    (tmp_path / 'a').mkdir()
    with pytest.raises(OSError, match=r"/a'$"):
        write_text(tmp_path / 'a', 'a folder is there')
    assert [entry.name for entry in tmp_path.iterdir()] == ['a']


def test_write_text__a_link_stays_a_link(tmp_path):
    (tmp_path / 'there').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'there' / 'a.txt')
    for text in ('new', 'newer'):
        write_text(tmp_path / 'link', text)
        assert (tmp_path / 'link').is_symlink()
        assert (tmp_path / 'there' / 'a.txt').read_text() == text
    assert [entry.name for entry in (tmp_path / 'there').iterdir()] == ['a.txt']


def test_write_text__a_pipe_is_written_into_and_not_replaced(tmp_path):
    pipe, read = tmp_path / 'pipe', []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, 'a text')
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)  # first: with a file in its place the reader would wait for ever
    reader.join()
    assert read == ['a text']


def test_write_json__names_of_files_that_are_no_utf_8_come_back(tmp_path):
    content = {'pred': os.fsdecode(b'p\xff\xc3\xa9.json')}
    write_json(tmp_path / 'a.json', content)
    assert read_json(tmp_path / 'a.json', 'a file') == content


def test_write_text__our_own_output_is_written_into_where_the_shell_sends_it_to_a_file(tmp_path):
    script = "import sys; from fgdet.utils.files import write_text; write_text('/dev/stdout', 'b\\n'); print('c')"
    log = tmp_path / 'log.txt'
    log.write_text('a\n')
    with log.open('a') as file:
        subprocess.run([sys.executable, '-c', script], stdout=file, check=True)
    assert log.read_text() == 'a\nb\nc\n'


def test_check_files_differ__no_output_is_an_input_or_another_output(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('[]')
    link = tmp_path / 'link.json'
    link.symlink_to(path)
    check_files_differ(
        [('--json', tmp_path / 'b'), ('--html', '/dev/null'), ('--save-pred', '/dev/null')], [('A', path)]
    )
    with pytest.raises(UserError, match=r'--json .*link\.json: --pred is the same file'):
        check_files_differ([('--json', link)], [('--ann', tmp_path / 'b'), ('--pred', path)])
    with pytest.raises(UserError, match=r'--html .*: --json is the same file'):
        check_files_differ([('--json', tmp_path / 'new'), ('--html', tmp_path / 'x' / '..' / 'new')], [])


def test_sha256_of__a_file_longer_than_a_block(tmp_path):
    content = b'fgdet' * 300_000
    (tmp_path / 'f').write_bytes(content)
    assert sha256_of(tmp_path / 'f') == hashlib.sha256(content).hexdigest()
