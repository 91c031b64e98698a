"""What is kept on disk, and what becomes of a file that is damaged, foreign or out of reach."""

from pathlib import Path

import numpy as np
import pytest

from fgdet.models.classifiers import embedding_store
from fgdet.models.classifiers.embedding_store import EmbeddingStore, default_folder

KEYS = [bytes([number]) * 15 + b'\0' for number in range(5)]  # ending in a zero, which numpy's strings would lose
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
RECORD = 16 + 3 * 4 + 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'folder' / 'a.embeddings'


def filled(path: Path | None) -> EmbeddingStore:
    store = EmbeddingStore(3, path)
    store.add(KEYS[:3], ROWS[:3])
    store.add(KEYS[3:], ROWS[3:])
    return store


@pytest.mark.parametrize('on_disk', [True, False])
def test_rows__in_the_order_that_is_asked_for(path: Path, on_disk: bool) -> None:
    store = filled(path if on_disk else None)
    np.testing.assert_array_equal(store.rows([KEYS[4], KEYS[0], KEYS[4]]), ROWS[[4, 0, 4]])
    assert KEYS[1] in store
    assert b'no' not in store
    assert store.rows([]).shape == (0, 3)


def test_file__a_second_store_has_all_and_adds_to_it(path: Path) -> None:
    filled(path)
    again = EmbeddingStore(3, path)
    np.testing.assert_array_equal(again.rows(KEYS), ROWS)
    again.add([b'x' * 16], ROWS[:1])
    assert path.stat().st_size == 6 * RECORD
    np.testing.assert_array_equal(EmbeddingStore(3, path).rows([b'x' * 16, KEYS[2]]), ROWS[[0, 2]])


@pytest.mark.parametrize(
    ('damage', 'kept'),
    [
        (lambda data: data[:-1], [0, 1, 2, 3]),  # cut while it was written
        (lambda data: data[:40] + b'?' + data[41:], [0, 2, 3, 4]),
        (lambda data: b'?' + data, []),
        (lambda data: b'', []),
    ],
)
def test_file__damaged_records_are_left_out_and_the_file_is_mended(path: Path, damage, kept: list[int]) -> None:
    filled(path)
    path.write_bytes(damage(path.read_bytes()))
    store = EmbeddingStore(3, path)
    assert [key in store for key in KEYS] == [number in kept for number in range(5)]
    np.testing.assert_array_equal(store.rows([KEYS[number] for number in kept]), ROWS[kept])
    assert path.stat().st_size == len(kept) * RECORD
    store.add([b'x' * 16], ROWS[:1])
    np.testing.assert_array_equal(EmbeddingStore(3, path).rows([b'x' * 16]), ROWS[:1])


def test_file__out_of_reach_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(embedding_store, 'print_log', lambda text, *_: lines.append(text))
    (tmp_path / 'folder').write_text('a file, where a folder should be')
    store = filled(tmp_path / 'folder' / 'a.embeddings')
    np.testing.assert_array_equal(store.rows(KEYS), ROWS)
    assert len(lines) == 1
    assert 'folder/a.embeddings (File exists)' in lines[0]
    (tmp_path / 'b.embeddings').mkdir()
    assert KEYS[0] not in EmbeddingStore(3, tmp_path / 'b.embeddings')


def test_file__keeps_the_newest_rows_and_a_folder_the_newest_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_store, 'MOST_ROWS', 2)
    monkeypatch.setattr(embedding_store, 'MOST_FILES', 2)
    filled(path)
    store = EmbeddingStore(3, path)
    assert [key in store for key in KEYS] == [False, False, False, True, True]
    assert path.stat().st_size == 2 * RECORD
    filled(path.with_name('b.embeddings'))
    filled(path.with_name('c.embeddings'))
    assert len(list(path.parent.iterdir())) == 2


def test_default_folder__of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_folder() is None  # as tests/conftest.py has it
    monkeypatch.setenv('FGDET_CACHE', '/some/where')
    assert default_folder() == Path('/some/where/class_embeddings')
    monkeypatch.delenv('FGDET_CACHE')
    assert default_folder() == Path.home() / '.cache' / 'fgdet' / 'class_embeddings'
