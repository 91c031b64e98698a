"""Data with known faults: each is found, counted and named; shards, duplicates and workers."""

import json
import os
import shutil
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgdet.apis import data_samples
from fgdet.apis.data_samples import Samples
from fgdet.apis.data_verify import ERRORS, NOTICES, Findings, _repeats, verify
from fgdet.utils.checks import UserError
from tests.builders import record, region, write_image, write_records


def make_records(folder: Path, entries: list[Any]) -> Samples:
    """Entries as JSON lines beside a folder with good.png, cut.jpg and others."""
    images = folder / 'images'
    write_image(images / 'good.png')
    write_image(images / 'photo.jpg', size=(100, 100))
    data = (images / 'photo.jpg').read_bytes()
    (images / 'cut.jpg').write_bytes(data[: -len(data) // 4])
    (images / 'no_image.jpg').write_text('<html>not found</html>')
    shutil.copy(images / 'good.png', images / 'really_png.jpg')
    write_image(images / 'Capital.JPG')
    write_image(images / 'grit-20m' / 'data-12m' / 'published.png')
    os.mkfifo(images / 'pipe.jpg')
    return Samples(str(write_records(folder / 'records.jsonl', entries)), str(images))


FAULTS: list[tuple[str, Any, str]] = [
    ('record', '{"f_path": ', 'not valid JSON'),
    ('record', '[1, 2]', 'must be an object, got list'),
    ('path', record() | {'f_path': None}, 'f_path must be a path, got None'),
    ('path', record('../records.jsonl'), 'leaves the image folder'),
    ('path', record('/etc/passwd'), 'leaves the image folder'),
    ('path', record('\udcff.jpg'), "f_path '\\udcff.jpg' is no path"),
    ('missing-image', record('none.jpg'), 'none.jpg does not exist'),
    ('image-name', record('Capital.jpg'), 'there is'),
    ('image-name', record('photo.png'), 'photo.jpg'),
    ('image-name', record('grit-20m/data-12m/published.png'), 'images/grit-20m/data-12m/published.png'),
    ('broken-image', record('cut.jpg'), 'cannot be read'),
    ('broken-image', record('no_image.jpg'), 'cannot be read'),
    ('broken-image', record('pipe.jpg'), 'it is no file'),
    ('broken-image', record('a' * 300 + '.jpg'), 'too long'),
    ('caption', record(caption=''), 'caption must be a text'),
    ('caption', record(short_caption=7), 'short_caption must be a text'),
    ('box', record(regions=[region(), region((0.2, 0.2, 0.1, 0.5))]), 'bbox_info[1].bbox must have x1 < x2'),
    ('box', record(regions=[region((0.2, 0.2, 200, 0.5))]), 'normalised'),
    ('box', record(regions=[region((0.2, float('nan'), 0.3, 0.5))]), 'four numbers'),
    ('phrase', record(regions=[region(short_expr='')]), 'short_expr must be a text'),
    ('phrase', record(bbox_info='boxes'), 'bbox_info must be a list'),
    ('image-format', record('really_png.jpg'), 'really_png.jpg is PNG'),
    ('negative', record(regions=[region(short_expr_negs={'0': 'red mug'})]), "holds 'red mug'"),
]


@pytest.mark.parametrize(('kind', 'entry', 'what'), FAULTS, ids=[f'{i}-{each[0]}' for i, each in enumerate(FAULTS)])
def test_verify__finds_each_fault_alone(tmp_path: Path, kind: str, entry: Any, what: str) -> None:
    findings = verify(make_records(tmp_path, [record(caption='another', f_path='photo.jpg'), entry]))
    assert dict(findings.counts) == {kind: 1}
    assert findings.examples[kind][0].startswith(f'{tmp_path}/records.jsonl:2: ') and what in findings.examples[kind][0]
    assert (findings.samples, findings.usable) == (2, 1 if kind in ERRORS else 2)


def test_verify__counts_every_fault_of_a_record(tmp_path: Path) -> None:
    bad = record(
        'none.jpg', caption=' ', regions=[region((0, 0, 0, 0)), region(), region(short_expr=None), region(None)]
    )
    findings = verify(make_records(tmp_path, [bad]))
    assert dict(findings.counts) == {'caption': 1, 'box': 2, 'phrase': 1, 'missing-image': 1}
    assert findings.usable == 0 and findings.num_errors == 5


def test_verify__duplicates_name_where_they_were_first(tmp_path: Path) -> None:
    other = record('photo.jpg', caption='Other.')
    entries = [
        record(),
        other,
        record(),
        record(caption='New.'),
        other | {'caption': 'A red mug on a table.'},
        record(),
    ]
    findings = verify(make_records(tmp_path, entries))
    assert dict(findings.counts) == {'duplicate-record': 2, 'duplicate-path': 4, 'duplicate-caption': 3}
    name = f'{tmp_path}/records.jsonl'
    assert findings.examples['duplicate-record'] == [f'{name}:3: as {name}:1', f'{name}:6: as {name}:1']
    assert findings.examples['duplicate-path'][2] == f'{name}:5: as {name}:2'
    assert findings.examples['duplicate-caption'][1] == f'{name}:5: as {name}:1'
    assert findings.usable == 6


def test_repeats__as_a_loop_finds_them() -> None:
    column = np.random.default_rng(0).integers(0, 40, 300).astype(np.uint64)
    seen: dict[int, int] = {}
    expected = [(i, seen[v]) for i, v in enumerate(column.tolist()) if v and (v in seen or seen.setdefault(v, i) < i)]
    assert _repeats(column).tolist() == [list(pair) for pair in expected]
    assert _repeats(column[:0]).tolist() == []


def test_verify__the_same_in_parts_and_in_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = make_records(tmp_path, [entry for _, entry, _ in FAULTS] * 2)
    whole = verify(samples).to_dict()
    monkeypatch.setattr(data_samples, 'PART', 7)
    shares: list[float] = []
    assert verify(samples, workers=2, on_progress=lambda share, line: shares.append(share)).to_dict() == whole
    parts = -(-2 * len(FAULTS) // 7)
    assert shares == [number / parts for number in range(1, parts + 1)]
    assert whole['counts']['duplicate-record'] == len([kind for kind, *_ in FAULTS if kind != 'record'])
    assert all(len(examples) <= 5 for examples in whole['examples'].values())


def test_verify__headers_alone_miss_what_was_cut(tmp_path: Path) -> None:
    samples = make_records(tmp_path, [record('cut.jpg'), record('no_image.jpg', caption='x')])
    assert dict(verify(samples, decode=False).counts) == {'broken-image': 1}


def test_verify__without_images_looks_at_records_alone(tmp_path: Path) -> None:
    path = write_records(tmp_path / 'r.jsonl', [record('none.jpg'), record('../x', caption='')])
    findings = verify(Samples(str(path)))
    assert dict(findings.counts) == {'caption': 1}
    assert findings.to_dict()['counts'].keys() == {*ERRORS, *NOTICES}


def write_shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, 'w') as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    return path


def test_verify__shards(tmp_path: Path) -> None:
    png = write_image(tmp_path / 'a.png').read_bytes()
    good = json.dumps(record()).encode()
    write_shard(tmp_path / 'a-0.tar', {'1.png': png, '1.json': good, '2.jpg': png, '2.json': good, '3.json': good})
    write_shard(tmp_path / 'a-1.tar', {'4.png': b'?', '4.json': good, '../5.png': png, '6.png': png, '6.json': b'[]'})
    whole = (tmp_path / 'a-1.tar').read_bytes()
    (tmp_path / 'a-2.tar').write_bytes(whole[:700])
    for data in (str(tmp_path), str(tmp_path / 'a-{0..2}.tar')):
        findings = verify(Samples(data))
        assert dict(findings.counts) == {
            'shard': 1, 'record': 3, 'broken-image': 1, 'image-format': 1,
            'duplicate-record': 2, 'duplicate-path': 2, 'duplicate-caption': 2,
        }  # fmt: skip
        assert (findings.samples, findings.usable) == (6, 2)
        assert findings.examples['duplicate-record'] == [
            f'{tmp_path}/a-0.tar:2: as {tmp_path}/a-0.tar:1',
            f'{tmp_path}/a-1.tar:4: as {tmp_path}/a-0.tar:1',
        ]


def test_samples__wrong_paths(tmp_path: Path) -> None:
    (tmp_path / 'empty.jsonl').write_text('\n')
    write_shard(tmp_path / 'a.tar', {'1.json': b'{}'})
    with pytest.raises(UserError, match='no such file'):
        Samples(str(tmp_path / 'none.jsonl'))
    with pytest.raises(UserError, match='there is no record in it'):
        Samples(str(tmp_path / 'empty.jsonl'))
    with pytest.raises(UserError, match='no such folder'):
        Samples(str(write_records(tmp_path / 'r.jsonl', [record()])), str(tmp_path / 'none'))
    with pytest.raises(UserError, match='shards hold their images'):
        Samples(str(tmp_path / 'a.tar'), str(tmp_path))


def test_findings__merge_keeps_the_first_examples() -> None:
    parts = [Findings() for _ in range(3)]
    for number, part in enumerate(parts):
        for i in range(3):
            part.add('box', f'f:{number}{i}', 'bad')
    whole = Findings()
    for part in parts:
        whole.merge(part)
    assert whole.counts['box'] == 9
    assert whole.examples['box'] == ['f:00: bad', 'f:01: bad', 'f:02: bad', 'f:10: bad', 'f:11: bad']
