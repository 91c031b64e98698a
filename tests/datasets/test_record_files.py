"""Records looked up by byte: the same as all of the file read at once, and what is broken named."""

import json
import pickle
import random
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from fgdet.datasets import record_files
from fgdet.datasets.record_files import RecordFiles, read_records
from fgdet.utils.checks import UserError
from tests.builders import record, write_records

PIECES = ['"', '\\', '\\"', '[', ']', '{', '}', ',', ':', '\n', 'ab', ' ', 'é', '漢', '😀', '\u2028', '/']


def random_entries(seed: int, count: int = 20) -> list[dict[str, Any]]:
    """Objects with all that could mislead a look for their ends."""
    rng = random.Random(seed)

    def text() -> str:
        return ''.join(rng.choices(PIECES, k=rng.randrange(9)))

    def value(depth: int) -> Any:
        kinds = [text, lambda: rng.random(), lambda: None, lambda: True]
        if depth < 3:
            kinds += [lambda: [value(depth + 1) for _ in range(rng.randrange(3))]]
            kinds += [lambda: {text(): value(depth + 1) for _ in range(rng.randrange(3))}]
        return rng.choice(kinds)()

    return [{text(): value(0) for _ in range(rng.randrange(4))} for _ in range(count)]


def contents(path: Path) -> list[Any]:
    return [r.content for r in read_records(path)]


@pytest.mark.parametrize('indent', [None, 1])
@pytest.mark.parametrize('ascii_only', [True, False])
@pytest.mark.parametrize('chunk', [1, 2, 7, 64, 1 << 20])
def test_list__same_as_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, ascii_only: bool, chunk: int
) -> None:
    monkeypatch.setattr(record_files, '_CHUNK', chunk)
    for seed in range(3):
        entries = random_entries(seed)
        (tmp_path / 'r.json').write_text('\ufeff ' + json.dumps(entries, indent=indent, ensure_ascii=ascii_only) + '\n')
        assert contents(tmp_path / 'r.json') == entries


@pytest.mark.parametrize('chunk', [1, 7, 1 << 20])
def test_lines__same_as_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(record_files, '_CHUNK', chunk)
    entries = random_entries(5)
    lines = [json.dumps(entry, ensure_ascii=False) for entry in entries]
    (tmp_path / 'r.jsonl').write_text('\ufeff\n \r\n' + '\r\n\n'.join(lines), encoding='utf-8', newline='')
    read = list(read_records(tmp_path / 'r.jsonl'))
    assert [r.content for r in read] == entries
    assert [r.source for r in read] == [f'{tmp_path}/r.jsonl:{3 + 2 * i}' for i in range(len(entries))]


def test_folder__files_by_name_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / 'b.json').write_text(json.dumps([record('1.png'), record('2.png')], indent=2))
    write_records(tmp_path / 'a.jsonl', [record('3.png'), '', record('4.png')])
    (tmp_path / 'notes.txt').write_text('not read')
    (tmp_path / 'c.json').mkdir()
    (tmp_path / 'd.json').write_text('[]')
    (tmp_path / 'e.json').touch()
    read = [(r.source, (r.content or {})['f_path']) for r in read_records(tmp_path)]
    a, b = tmp_path / 'a.jsonl', tmp_path / 'b.json'
    assert read == [(f'{a}:1', '3.png'), (f'{a}:3', '4.png'), (f'{b}[0]', '1.png'), (f'{b}[1]', '2.png')]


BROKEN = {
    'cut inside a text': ('[{"a": 1}, {"b": "x', 1, 1, 'not valid JSON'),
    'cut between the elements': ('[{"a": 1}, {"b": 2},\n', 2, 0, ''),
    'cut after an element': ('[{"a": 1}, {"b": 2}', 2, 0, ''),
    'element without a colon': ('[{"a": 1}, {"b" 2}, {"c": 3}]', 2, 1, r"not valid JSON \(Expecting ':'"),
    'empty element': ('[{"a": 1}, , {"c": 3}]', 2, 1, r'not valid JSON \(Expecting value'),
    'two lists': ('[{"a": 1}] [{"b": 2}]', 1, 1, 'a record must be an object, got list'),
    'number and list': ('[1, [2], {"a": 1}]', 1, 2, 'a record must be an object, got int'),
    'last line cut': ('{"a": 1}\n{"b": 2}\n{"c": "x', 2, 1, 'not valid JSON'),
    'deep': ('{"a": 1}\n' + '[' * 100_000, 1, 1, 'not usable JSON'),
    'many digits': ('{"a": 1}\n' + '1' * 5000, 1, 1, 'not usable JSON'),
    'bytes': ('{"a": 1}\n\0\1\2', 1, 1, 'not valid JSON'),
}


@pytest.mark.parametrize('kind', BROKEN)
def test_broken_file__good_records_are_used_and_others_named(tmp_path: Path, kind: str) -> None:
    text, good, bad, message = BROKEN[kind]
    (tmp_path / 'r.json').write_text(text)
    read = list(read_records(tmp_path / 'r.json'))
    assert sum(r.content is not None for r in read) == good
    errors = [r for r in read if r.content is None]
    assert len(errors) == bad
    for error in errors[:1]:
        assert error.source.startswith(f'{tmp_path}/r.json') and error.error is not None
        with pytest.raises(ValueError, match=message):
            raise ValueError(error.error)


def test_record_too_long__is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, 'MOST_BYTES', 20)
    (tmp_path / 'r.jsonl').write_text('{"a": 1}\n{"a": "' + 'x' * 20 + '"}\n')
    assert [r.error for r in read_records(tmp_path / 'r.jsonl')] == [
        None,
        'a record of 29 bytes, more than the 20 allowed',
    ]


@pytest.mark.parametrize('text', ['this is no JSON', '\x89PNG\r\n\x1a\n\0\0', '<html>\n</html>'])
def test_no_json_at_all(tmp_path: Path, text: str) -> None:
    (tmp_path / 'r.json').write_text(text)
    with pytest.raises(UserError, match=r'r\.json: neither a JSON list nor one JSON object a line'):
        RecordFiles(tmp_path / 'r.json')


# -- the stored index ----------------------------------------------------------------------------------------------


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, 'SMALLEST_STORED', 0)


@pytest.mark.usefixtures('stored')
def test_stored_index__is_used_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_records(tmp_path / 'r.jsonl', [record('1.png'), record('2.png')])
    first = list(RecordFiles(file, tmp_path / 'cache'))
    (index,) = (tmp_path / 'cache').glob('*.npy')
    with monkeypatch.context() as patch:
        patch.setattr(record_files, '_index_files', None)  # it cannot be made anew
        records = RecordFiles(file, tmp_path / 'cache')
        assert list(records) == first
        copy = pickle.loads(pickle.dumps(records))
        assert list(copy) == first and len(pickle.dumps(records)) < 1000
    write_records(file, [record('1.png'), record('longer.png')])
    assert RecordFiles(file, tmp_path / 'cache')[1].content['f_path'] == 'longer.png'
    index.write_bytes(b'broken')
    write_records(file, [record('1.png')])
    assert len(RecordFiles(file, tmp_path / 'cache')) == 1


@pytest.mark.usefixtures('stored')
def test_stored_index__folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = write_records(tmp_path / 'r.jsonl', [record('1.png')])
    (tmp_path / 'cache').write_text('a file where the folder should be')
    assert len(RecordFiles(file, tmp_path / 'cache')) == 1


def count_records(folder: Path) -> int:
    record_files.SMALLEST_STORED = 0
    return len(RecordFiles(folder / 'r.jsonl', folder / 'cache'))


def test_stored_index__several_processes_at_once(tmp_path: Path) -> None:
    write_records(tmp_path / 'r.jsonl', [record(f'{i}.png') for i in range(50)])
    with get_context('fork').Pool(4) as pool:
        assert pool.map(count_records, [tmp_path] * 8, chunksize=1) == [50] * 8
    assert len(list((tmp_path / 'cache').glob('*.npy'))) == 1
