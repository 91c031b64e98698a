"""Packing: bytes unchanged, shards bounded, the same again, on from where it stopped; what is refused."""

import errno
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fgdet.apis import data_pack
from fgdet.apis.data_pack import PackPlan, pack
from fgdet.apis.data_samples import Samples
from fgdet.apis.data_verify import verify
from fgdet.datasets.shards import RegionTextShards
from fgdet.utils.checks import UserError
from tests.builders import record, write_image, write_records


def make(folder: Path, count: int = 10) -> tuple[str, str]:
    """``count`` records: number 3 leaves the folder, 4 has no image, 5 no caption, 6 a GIF; 7 is a PNG named JPEG."""
    images = folder / 'images'
    entries: list[Any] = []
    for i in range(count):
        write_image(images / f'sub/{i}.jpg', size=(20 + i, 30), seed=i)
        entries.append(record(f'sub/{i}.jpg', caption=f'Über {i} \ud83d', extra={'kept': i}))
    entries[3]['f_path'] = '../secret.jpg'
    write_image(folder / 'secret.jpg')
    (images / 'sub/4.jpg').unlink()
    entries[5]['caption'] = ' '
    write_image(images / 'sub/6.gif')
    entries[6]['f_path'] = 'sub/6.gif'
    write_image(images / 'x.png').rename(images / 'sub/7.jpg')
    return str(write_records(folder / 'records.jsonl', entries)), str(images)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob('*.tar'))}


def test_pack__bytes_and_records_as_they_were(tmp_path: Path) -> None:
    records, images = make(tmp_path)
    manifest = pack(records, images, tmp_path / 'out', PackPlan(most_samples=4))
    assert (manifest['records'], manifest['samples']) == (10, 6)
    assert manifest['skipped'] == {'path': 1, 'missing-image': 1, 'caption': 1, 'image-format': 1}
    assert '../secret.jpg leaves' in manifest['examples']['path'][0]
    assert manifest == json.loads((tmp_path / 'out' / 'pack.json').read_text())
    assert [(s['name'], s['first'], s['end'], s['samples']) for s in manifest['shards']] == [
        ('data-000000.tar', 0, 8, 4),
        ('data-000001.tar', 8, 10, 2),
    ]
    found: dict[str, bytes] = {}
    for path in sorted((tmp_path / 'out').glob('*.tar')):
        with tarfile.open(path) as tar:
            found |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    names = [f'{i:09d}.{ending}' for i in (0, 1, 2, 7, 8, 9) for ending in ('png' if i == 7 else 'jpg', 'json')]
    assert list(found) == names
    lines = Path(records).read_text().split('\n')
    for name, data in found.items():
        number = int(name[:9])
        source = Path(images) / f'sub/{number}.jpg'
        assert json.loads(data) == json.loads(lines[number]) if name.endswith('json') else data == source.read_bytes()


def test_pack__training_reads_them_all(tmp_path: Path) -> None:
    records, images = make(tmp_path)
    pack(records, images, tmp_path / 'out')
    findings = verify(Samples(str(tmp_path / 'out')))
    assert (findings.samples, findings.usable, findings.num_errors) == (6, 6, 0)
    pipeline = [lambda results: {'data_samples': _Meta(results)}]
    shards = RegionTextShards(str(tmp_path / 'out' / '*.tar'), pipeline, shuffle_buffer=0)
    captions = {shards.__getitems__([i])[0]['data_samples'].caption for i in range(6)}
    assert {caption[5] for caption in captions} == set('012789')


class _Meta:
    def __init__(self, results: dict[str, Any]) -> None:
        self.caption = results['caption']

    def set_metainfo(self, meta: dict[str, Any]) -> None:
        pass


def test_pack__same_input_same_bytes(tmp_path: Path) -> None:
    records, images = make(tmp_path)
    pack(records, images, tmp_path / 'a', PackPlan(most_samples=2))
    shutil.copytree(images, tmp_path / 'moved', copy_function=shutil.copyfile)  # other times of change
    pack(records, str(tmp_path / 'moved'), tmp_path / 'b', PackPlan(most_samples=2))
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b') and len(contents(tmp_path / 'a')) == 3


def test_pack__bounded_by_bytes(tmp_path: Path) -> None:
    records, images = make(tmp_path, count=12)
    size = max(path.stat().st_size for path in Path(images).rglob('*.jpg')) + 1000
    manifest = pack(records, images, tmp_path / 'a', PackPlan(most_bytes=2 * size))
    assert len(manifest['shards']) > 1 and all(shard['bytes'] <= 2 * size for shard in manifest['shards'])
    alone = pack(records, images, tmp_path / 'b', PackPlan(most_bytes=1))
    assert [shard['samples'] for shard in alone['shards']] == [1] * 8
    assert alone['samples'] == manifest['samples'] == 8


@pytest.mark.parametrize('error', [OSError(errno.ENOSPC, 'No space left on device'), KeyboardInterrupt()])
def test_pack__goes_on_after_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    records, images = make(tmp_path)
    pack(records, images, tmp_path / 'whole', PackPlan(most_samples=2))
    members = data_pack._members
    looked_at: list[int] = []

    def stop_at_8(samples: Any, position: int, *others: Any) -> dict[str, bytes]:
        looked_at.append(position)
        if position == 8 and looked_at.count(8) == 1:
            raise error
        return members(samples, position, *others)

    monkeypatch.setattr(data_pack, '_members', stop_at_8)
    out = tmp_path / 'out'
    with pytest.raises(type(error), match='data-000002.tar' if isinstance(error, OSError) else None):
        pack(records, images, out, PackPlan(most_samples=2))
    assert [path.name for path in sorted(out.iterdir())] == ['data-000000.tar', 'data-000001.tar', 'pack.json']
    looked_at.clear()
    looked_at.append(8)
    pack(records, images, out, PackPlan(most_samples=2))
    assert min(looked_at) == 8
    assert contents(out) == contents(tmp_path / 'whole')
    assert (out / 'pack.json').read_text().split('"samples"')[1:] == (
        (tmp_path / 'whole' / 'pack.json').read_text().split('"samples"')[1:]
    )
    looked_at.clear()
    pack(records, images, out, PackPlan(most_samples=2))
    assert looked_at == []


def test_pack__makes_a_shard_anew_that_was_damaged(tmp_path: Path) -> None:
    records, images = make(tmp_path)
    pack(records, images, tmp_path, PackPlan(most_samples=2))
    whole = contents(tmp_path)
    (tmp_path / 'data-000001.tar').write_bytes(b'')
    pack(records, images, tmp_path, PackPlan(most_samples=2))
    assert contents(tmp_path) == whole


def test_pack__refuses(tmp_path: Path) -> None:
    records, images = make(tmp_path)
    pack(records, images, tmp_path / 'out')
    with pytest.raises(UserError, match='shards of other most_samples; give another folder'):
        pack(records, images, tmp_path / 'out', PackPlan(most_samples=2))
    with pytest.raises(UserError, match=r"prefix '\.\./x'"):
        pack(records, images, tmp_path / 'out', PackPlan(prefix='../x'))
    with pytest.raises(UserError, match='these are shards already'):
        pack(str(tmp_path / 'out'), '', tmp_path / 'b')
    bad = write_records(tmp_path / 'bad.jsonl', [record('none.jpg')])
    with pytest.raises(UserError, match=r'none of the 1 can be used \(.*bad.jsonl:1: image .*does not exist'):
        pack(str(bad), images, tmp_path / 'b')
    assert list((tmp_path / 'b').iterdir()) == []
