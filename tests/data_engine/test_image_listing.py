"""Which images there are: order, links, hidden and odd names, keys that stay, given boxes, damaged files."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fgdet.data_engine.image_listing import ReadImages, image_key, list_images
from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.stage import Failure
from fgdet.utils.checks import UserError
from tests.builders import write_image


def coco(path: Path, images: list[dict[str, Any]], **fields: Any) -> Path:
    boxes = [
        dict(image_id=1, category_id=7, bbox=[1, 2, 3, 4]),
        dict(image_id=1, category_id=7, bbox=[0, 0, 9, 9], iscrowd=1),
        dict(image_id=1, category_id=7, bbox=[5, 5, 0, 4]),
    ]
    content = dict(images=images, annotations=boxes, categories=[dict(id=7, name='mug')], **fields)
    path.write_text(json.dumps(content))
    return path


def test_listing__order_links_hidden_and_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / 'images'
    for name in ('b.jpg', 'a/z.png', 'a b,é\n.JPG', 'x.tar.jpg', '.hidden.jpg', '.git/c.jpg', 'B.jpg'):
        write_image(folder / name)
    (folder / 'notes.txt').touch()
    (folder / 'gone.jpg').symlink_to('nowhere.jpg')
    (folder / 'link.jpg').symlink_to('b.jpg')
    (folder / 'a/loop').symlink_to(folder)
    write_image(tmp_path / 'elsewhere/e.webp')
    (folder / 'other').symlink_to(tmp_path / 'elsewhere')
    (folder / os.fsdecode(b'bad\xff.jpg')).write_bytes(b'')
    listing = list_images(folder)
    expected = ['B.jpg', 'a b,é\n.JPG', 'a/z.png', 'b.jpg', 'gone.jpg', 'link.jpg', 'other/e.webp', 'x.tar.jpg']
    assert [record.path for record in listing.records] == expected
    assert listing.passed_over == 2
    assert ["'bad\\udcff.jpg' is not UTF-8" in failure.reason for failure in listing.failures] == [True]
    assert [record.path for record in list_images(folder, limit=2).records] == expected[:2]
    results = ReadImages(folder).run(listing.records)
    assert [type(result) for result in results].count(Failure) == 1
    assert results[4] == Failure('gone', 'image gone.jpg: No such file or directory')
    keys = [result.key for result in results]
    assert len(set(keys)) == 8 and all(set('./ ,\n').isdisjoint(key) for key in keys)


def test_key__of_its_path_alone() -> None:
    assert image_key('000000000139.jpg') == '000000000139'
    assert image_key('a/b.jpg') == 'a_b-4a51636246'  # sha256sum of the path
    paths = ['a/b.jpg', 'a_b.jpg', 'a_b.png', 'a_b.JPG', 'a.b.jpg', 'é.jpg', 'è.jpg', 'x' * 200 + '.jpg', '_.jpg']
    assert len({image_key(path) for path in paths}) == len(paths)
    assert len(image_key('x' * 200 + '.jpg')) == 91


def test_listing__two_of_one_key(tmp_path: Path) -> None:
    write_image(tmp_path / 'a/b.jpg')
    write_image(tmp_path / f'{image_key("a/b.jpg")}.jpg')
    with pytest.raises(UserError, match='have the same key'):
        list_images(tmp_path)


def test_listing__annotations(tmp_path: Path) -> None:
    for name in ('sub/1.jpg', '2.jpg'):
        write_image(tmp_path / 'images' / name, size=(20, 10))
    images = [
        dict(id=1, file_name='1.jpg', width=20, height=10, license=3),
        dict(id=2, file_name='9.jpg', width=20, height=10),
    ]
    ann = coco(tmp_path / 'ann.json', images, licenses=[dict(id=3, name='CC BY', url='http://x')])
    listing = list_images(tmp_path / 'images', ann)
    assert [record.annotations for record in listing.records] == [[], [dict(bbox=[1, 2, 3, 4], name='mug')]]
    assert listing.without_image == ['9.jpg'] and listing.licences == {'CC BY http://x': 1}
    images[0].update(width=10, height=20)
    listing = list_images(tmp_path / 'images', coco(tmp_path / 'ann.json', images))
    failure = ReadImages(tmp_path / 'images').run(listing.records)[1]
    assert failure == Failure(image_key('sub/1.jpg'), 'image sub/1.jpg: 20 x 10 pixels, its annotations say 10 x 20')


@pytest.mark.parametrize(('images', 'match'), [('none', 'no such folder'), ('empty', 'no image in this folder')])
def test_listing__nothing_there(tmp_path: Path, images: str, match: str) -> None:
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=match):
        list_images(tmp_path / images)


def test_listing__annotations_of_other_images(tmp_path: Path) -> None:
    write_image(tmp_path / 'images/a.jpg')
    ann = coco(tmp_path / 'ann.json', [dict(id=1, file_name='1.jpg', width=20, height=10)])
    with pytest.raises(UserError, match='of none of the 1 images'):
        list_images(tmp_path / 'images', ann)


def test_read_images__upright_size_and_what_a_shard_cannot_hold(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(tmp_path / 'plain.jpg', size=(20, 10))
    Image.open(tmp_path / 'plain.jpg').save(tmp_path / 'turned.jpg', exif=exif)
    (tmp_path / 'cut.jpg').write_bytes((tmp_path / 'plain.jpg').read_bytes()[:-200])
    (tmp_path / 'text.jpg').write_text('no image')
    write_image(tmp_path / 'x.gif')
    os.mkfifo(tmp_path / 'pipe.jpg')
    results = {r.key: r for r in ReadImages(tmp_path).run(list_images(tmp_path).records)}
    plain, turned = results['plain'], results['turned']
    assert isinstance(plain, ImageRecord) and isinstance(turned, ImageRecord)
    assert (plain.width, plain.height, turned.width, turned.height) == (20, 10, 10, 20)
    assert set(plain.provenance) == {'image'} and turned.provenance['image']['orientation'] == 6
    failed = {key: result.reason for key, result in results.items() if isinstance(result, Failure)}
    assert set(failed) == {'cut', 'text', 'pipe', image_key('x.gif')}
    assert 'cannot hold GIF' in failed[image_key('x.gif')] and 'it is no file' in failed['pipe']
