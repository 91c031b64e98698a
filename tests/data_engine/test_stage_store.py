"""What a stage has done: kept line by line, cut and damaged lines known, a full disk leaves whole lines."""

import json
import resource
from pathlib import Path

import pytest

from fgdet.data_engine import stage_store
from fgdet.data_engine.image_record import ImageRecord, Phrase, Region
from fgdet.data_engine.stage import Failure
from fgdet.data_engine.stage_store import DROPPED, FAILED, KEPT, StageStore, StoredRecords, digest_of

RESULTS: list[ImageRecord | Failure] = [
    ImageRecord('a', 'a.jpg', 4, 3, regions=[Region((0.0, 1.0, 2.5, 3.0), 0.1, Phrase('ein Öl \ud83d\n'))]),
    ImageRecord('b', 'b.jpg', dropped='blur: 3'),
    Failure('c', 'no answer', again=True),
]


def fill(folder: Path) -> StageStore:
    with StageStore(folder) as store:
        for number, result in enumerate(RESULTS):
            store.add(result.key, number, result)
    return store


def test_store__gives_back_what_was_added(tmp_path: Path) -> None:
    fill(tmp_path / 's')
    store = StageStore(tmp_path / 's')
    assert [store.read(result.key) for result in RESULTS] == RESULTS
    assert [store.state(key) for key in 'abc'] == [KEPT, DROPPED, FAILED]
    assert store.is_done('b', 1) and not store.is_done('b', 0) and not store.is_done('x', 0)
    assert store.digest('a') == digest_of(RESULTS[0].to_json())  # type: ignore[union-attr]
    assert list(StoredRecords(store, ['b', 'a'])) == [RESULTS[1], RESULTS[0]]
    store.add('c', 7, ImageRecord('c', 'c.jpg'))
    assert StageStore(tmp_path / 's').read('c') == ImageRecord('c', 'c.jpg')
    assert all(json.loads(line) for line in (tmp_path / 's/part-000000.jsonl').read_bytes().splitlines())


def test_store__cut_at_every_byte_of_the_last_line(tmp_path: Path) -> None:
    fill(tmp_path / 's')
    part = tmp_path / 's/part-000000.jsonl'
    data = part.read_bytes()
    start = data[:-1].rindex(b'\n') + 1
    for end in range(start, len(data)):
        part.write_bytes(data[:end])
        assert 'c' not in StageStore(tmp_path / 's', read_only=True)
        assert part.stat().st_size == end
        with StageStore(tmp_path / 's') as store:
            assert 'c' not in store and 'b' in store and store.damaged == 0
            store.add('c', 2, RESULTS[2])
        assert part.read_bytes() == data


def test_store__a_damaged_byte_anywhere_costs_its_line_alone(tmp_path: Path) -> None:
    fill(tmp_path / 's')
    part = tmp_path / 's/part-000000.jsonl'
    data = part.read_bytes()
    first = data.index(b'\n') + 1
    for place in range(first - 1):
        part.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        store = StageStore(tmp_path / 's')
        assert store.damaged == 1 and 'a' not in store and 'b' in store and 'c' in store
    part.write_bytes(data + b'\0' * 100)
    assert StageStore(tmp_path / 's').read('c') == RESULTS[2]
    assert part.read_bytes() == data


def test_store__parts_follow_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_store, 'PART_BYTES', 300)
    fill(tmp_path / 's')
    assert len(list((tmp_path / 's').iterdir())) == 2
    with StageStore(tmp_path / 's') as store:
        assert [store.read(key) for key in 'cab'] == [RESULTS[2], RESULTS[0], RESULTS[1]]
        store.add('d', 0, ImageRecord('d', 'd.jpg'))
    assert 'd' in StageStore(tmp_path / 's')


def test_store__what_json_cannot_hold_is_a_failure(tmp_path: Path) -> None:
    with StageStore(tmp_path / 's') as store:
        store.add('a', 0, ImageRecord('a', 'a.jpg', scores=dict(blur=float('nan'))))
        store.add('b', 0, ImageRecord('b', 'b.jpg', provenance=dict(when=b'x')))
        assert [store.state(key) for key in 'ab'] == [FAILED, FAILED]


def test_store__full_disk(tmp_path: Path) -> None:
    fill(tmp_path / 's')
    part = tmp_path / 's/part-000000.jsonl'
    data = part.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with StageStore(tmp_path / 's') as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(data) + 50, limits[1]))
        try:
            with pytest.raises(OSError, match=r'part-000000\.jsonl'):
                store.add('d', 0, RESULTS[0])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert part.read_bytes() == data
