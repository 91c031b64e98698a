"""The finished data set: FineHARD's form, the same bytes again, whole or not there, images upright."""

import errno
import hashlib
import json
import os
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fgdet.apis.data_samples import Samples
from fgdet.apis.data_verify import verify
from fgdet.data_engine import writer
from fgdet.data_engine.image_listing import ReadImages, list_images
from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.pipeline import Lost
from fgdet.data_engine.writer import WritePlan, Writer
from fgdet.utils.checks import UserError
from tests.builders import write_image
from tests.data_engine.fake_stages import Box, Say

FACTS = dict(seed=0, licence=dict(images='CC0'))
LOST = [Lost('x', 'x.jpg', 'say', 'no answer', again=True), Lost('y', 'y.jpg', 'blur', 'blur: 3', dropped=True)]


def made(folder: Path, count: int = 5) -> list[ImageRecord]:
    for i in range(count):
        write_image(folder / f'p{i}.jpg', size=(40, 30), seed=i)
    records: Any = ReadImages(folder).run(list_images(folder).records)
    return Box().run(Say().run(records))  # type: ignore[arg-type,return-value]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_writer__finehard_shards_and_manifest(tmp_path: Path) -> None:
    images, out = tmp_path / 'images', tmp_path / 'out'
    records = made(images)
    records[2].caption = ' '
    manifest = Writer(out, images, WritePlan(shard_samples=3)).write(records, LOST, FACTS)
    files = contents(out)
    assert set(files) == {'data-000000.tar', 'data-000001.tar', 'records.jsonl', 'manifest.json'} | {
        'failures.jsonl', 'dropped.jsonl'
    }  # fmt: skip
    assert manifest == json.loads(files['manifest.json'])
    assert manifest['counts'] == dict(
        records=4, records_with_regions=4, regions=4, negatives=8, turned_upright=0,
        failed=dict(say=1, write=1), dropped={'blur: blur': 1},
    )  # fmt: skip
    for name, facts in manifest['outputs'].items():
        assert (facts['bytes'], facts['sha256']) == (len(files[name]), hashlib.sha256(files[name]).hexdigest())
    assert [json.loads(line)['key'] for line in files['failures.jsonl'].splitlines()] == ['x', 'p2']
    first = json.loads(files['records.jsonl'].splitlines()[0])
    assert first['f_path'] == 'p0.jpg' and first['bbox_info'] == [
        dict(
            bbox=[0.0, 0.0, 0.5, 0.5, 0.5], short_expr='a red mug', long_expr='a red mug', flag_short_neg=1,
            short_expr_negs={'0': 'a blue mug', '1': 'a green mug'},
        )
    ]  # fmt: skip
    with tarfile.open(out / 'data-000000.tar') as tar:
        assert tar.getnames() == [f'{key}.{end}' for key in ('p0', 'p1', 'p3') for end in ('jpg', 'json')]
        assert tar.extractfile('p1.jpg').read() == (images / 'p1.jpg').read_bytes()  # type: ignore[union-attr]
    found = verify(Samples(str(out)))
    assert (found.samples, found.usable, found.num_errors) == (4, 4, 0)


def test_writer__same_bytes_and_only_changed_shards_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, out = tmp_path / 'images', tmp_path / 'out'
    records, plan, written = made(images), WritePlan(shard_samples=2), []
    Writer(out, images, plan).write(records, [], FACTS)
    files, whole_shard = contents(out), writer.whole_shard
    monkeypatch.setattr(writer, 'whole_shard', lambda path: written.append(path.name) or whole_shard(path))
    Writer(out, images, plan).write(records, [], FACTS)
    assert contents(out) == files and written == []
    records[2].caption = 'Another one'
    Writer(out, images, plan).write(records[:3], [], FACTS)
    assert written == ['data-000001.tar'] and not (out / 'data-000002.tar').exists()
    Writer(tmp_path / 'new', images, plan).write(records[:3], [], FACTS)
    assert contents(tmp_path / 'new') == contents(out)
    Writer(out, images, plan._replace(as_list=True)).write(records, [], FACTS)
    assert [r['key'] for r in json.loads((out / 'records.json').read_text())] == [f'p{i}' for i in range(5)]
    assert not (out / 'records.jsonl').exists()
    Writer(out, images, WritePlan(shard_bytes=1)).write(records, [], FACTS)
    assert len(list(out.glob('*.tar'))) == 5


def test_writer__full_disk_leaves_no_manifest_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, out = tmp_path / 'images', tmp_path / 'out'
    records, plan = made(images), WritePlan(shard_samples=2)
    whole_shard = writer.whole_shard

    def full(path: Path) -> Any:
        if '000001' in path.name:
            raise OSError(errno.ENOSPC, 'No space left on device', str(path))
        return whole_shard(path)

    monkeypatch.setattr(writer, 'whole_shard', full)
    with pytest.raises(OSError, match='No space left'):
        Writer(out, images, plan).write(records, [], FACTS)
    assert set(contents(out)) == {'data-000000.tar'}
    monkeypatch.undo()
    Writer(out, images, plan).write(records, [], FACTS)
    Writer(tmp_path / 'new', images, plan).write(records, [], FACTS)
    assert contents(out) == contents(tmp_path / 'new')


def test_writer__images_upright_and_unchanged(tmp_path: Path) -> None:
    images, out = tmp_path / 'images', tmp_path / 'out'
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    picture = Image.new('RGB', (40, 30))
    picture.paste((255, 0, 0), (0, 0, 40, 10))
    os.makedirs(images)
    picture.save(images / 'turned.jpg', exif=exif, quality=95)
    records = made(images, 1)
    Writer(out, images).write(records, [], FACTS)
    with tarfile.open(out / 'data-000000.tar') as tar:
        upright = Image.open(BytesIO(tar.extractfile('turned.jpg').read()))  # type: ignore[union-attr]
    assert upright.size == (30, 40) and upright.getexif().get(0x0112, 1) == 1
    assert upright.getpixel((27, 20))[0] > 200 > 50 > upright.getpixel((2, 20))[0]  # type: ignore[index,operator]
    write_image(images / 'p0.jpg', size=(40, 30), seed=9)
    with pytest.raises(UserError, match='has changed since'):
        Writer(tmp_path / 'new', images).write(records, [], FACTS)


def test_writer__nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'none of 1 images came through \(say: no answer\)'):
        Writer(tmp_path / 'out', tmp_path).write([], LOST[:1], FACTS)
    assert not list((tmp_path / 'out').glob('*.json'))
