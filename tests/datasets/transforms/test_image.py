"""Loading, resizing and mirroring of an image with its boxes and texts."""

import os
import struct
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgdet.datasets.transforms.image import (
    FlipRegionTextImage,
    LoadRegionTextImage,
    ResizeRegionTextImage,
    can_mirror,
    mirror_text,
)
from fgdet.structures.region_text_sample import BadRecord
from tests.builders import write_image


def results(caption: str = 'A mug to the left of a plate.', **fields: Any) -> dict[str, Any]:
    pixels = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    region = dict(
        bbox=(0.1, 0.2, 0.4, 0.9),
        short_expr='left mug',
        long_expr='a mug on the left',
        negatives=['a mug on the right'],
    )
    base = dict(img=pixels, caption=caption, short_caption='a mug', regions=[region], rng=np.random.default_rng(0))
    return base | fields


# -- load ---------------------------------------------------------------------------------------------------------


def test_load__pixels_as_written(tmp_path: Path) -> None:
    path = write_image(tmp_path / 'a.png', (5, 3))
    loaded = LoadRegionTextImage()(dict(img_path=str(path)))
    assert np.array_equal(loaded['img'], np.array(Image.open(path)))
    assert loaded['ori_shape'] == loaded['img_shape'] == (3, 5)


@pytest.mark.parametrize(('mode', 'colour', 'rgb'), [('L', 200, 200), ('CMYK', (0, 0, 0, 55), 200), ('1', 1, 255)])
def test_load__other_colour_spaces_become_rgb(tmp_path: Path, mode: str, colour: Any, rgb: int) -> None:
    path = tmp_path / ('a.tif' if mode == 'CMYK' else 'a.png')
    Image.new(mode, (4, 2), colour).save(path)
    loaded = np.asarray(LoadRegionTextImage()(dict(img_path=str(path)))['img'])
    assert loaded.shape == (2, 4, 3) and loaded.dtype == np.uint8 and (loaded == rgb).all()


def test_load__transparency_is_dropped(tmp_path: Path) -> None:
    Image.new('RGBA', (4, 2), (10, 20, 30, 0)).save(tmp_path / 'a.png')
    assert LoadRegionTextImage()(dict(img_path=str(tmp_path / 'a.png')))['img'].getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.filterwarnings('ignore::UserWarning:PIL')
@pytest.mark.parametrize('kind', ['png', 'jpg', 'gif', 'tif', 'bmp', 'webp'])
def test_load__damaged_anywhere_is_a_bad_record_or_an_image(tmp_path: Path, kind: str) -> None:
    """Whatever a decoder raises on random damage, nothing but BadRecord comes out."""
    content = bytearray(write_image(tmp_path / f'whole.{kind}', (32, 32)).read_bytes())
    generator = np.random.default_rng(0)
    for i in range(40):
        damaged = bytearray(content)
        for place in generator.integers(0, min(len(content), 200), size=4):
            damaged[place] = generator.integers(0, 256)
        path = tmp_path / f'{i}.{kind}'
        path.write_bytes(damaged[: generator.integers(1, len(damaged))])
        with suppress(BadRecord):
            assert LoadRegionTextImage()(dict(img_path=str(path)))['img'].shape[2] == 3


# -- resize -------------------------------------------------------------------------------------------------------


def test_load__bytes_of_a_shard_as_the_file(tmp_path: Path) -> None:
    path = write_image(tmp_path / 'a.png', (5, 3))
    loaded = LoadRegionTextImage()(dict(img_path='shard.tar:a', img_bytes=path.read_bytes()))
    assert np.array_equal(loaded['img'], np.array(Image.open(path))) and 'img_bytes' not in loaded


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A grey PNG with more chunks before its pixels, which are there for the first 100 MB only."""
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress(bytes(min((width + 1) * height, 100_000_000)), 1)
    return b'\x89PNG\r\n\x1a\n' + header + b''.join(chunks) + chunk(b'IDAT', pixels) + chunk(b'IEND', b'')


BOMB = zlib.compress(bytes(100_000_000), 9)  # 100 KB
HOSTILE = {
    '100 megapixels': (lambda: png(10_000, 10_000), 'has 10000 x 10000 pixels'),
    'bomb of pixels': (lambda: png(50_000, 50_000), 'cannot be read .*exceeds limit'),
    'bomb in the colour profile': (lambda: png(4, 4, chunk(b'iCCP', b'p\0\0' + BOMB)), 'cannot be read .*too large'),
    'bomb in a text': (lambda: png(4, 4, chunk(b'zTXt', b't\0\0' + BOMB)), 'cannot be read .*too large'),
    'bomb in an international text': (
        lambda: png(4, 4, chunk(b'iTXt', b't\0\1\0\0\0' + BOMB)),
        'cannot be read .*too large',
    ),
    'program': (lambda: b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n', 'cannot be read .*identify'),
    'nothing': (lambda: b'', 'cannot be read .*identify'),
    'words': (lambda: b'not an image', 'cannot be read .*identify'),
}


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
@pytest.mark.parametrize('kind', HOSTILE)
def test_load__hostile_image_is_a_bad_record_and_stays_small(tmp_path: Path, kind: str) -> None:
    make, message = HOSTILE[kind]
    (tmp_path / 'a.png').write_bytes(make())
    tracemalloc.start()
    for data in ({}, dict(img_bytes=(tmp_path / 'a.png').read_bytes())):
        with pytest.raises(BadRecord, match=message):
            LoadRegionTextImage()(dict(img_path=str(tmp_path / 'a.png')) | data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_load__pipe_and_huge_file_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.jpg')
    with open(tmp_path / 'huge.jpg', 'wb') as file:
        file.truncate(1 << 40)
    for name, message in (('pipe', 'it is no file'), ('huge', 'has 1099511627776 bytes'), ('none', 'does not exist')):
        with pytest.raises(BadRecord, match=message):
            LoadRegionTextImage()(dict(img_path=str(tmp_path / f'{name}.jpg')))


def test_resize__bicubic_of_pillow_without_keeping_the_aspect() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 17, 3), dtype=np.uint8)
    resized = ResizeRegionTextImage((6, 5))(dict(img=pixels))
    expected = np.array(Image.fromarray(pixels).resize((5, 6), Image.Resampling.BICUBIC))
    assert np.array_equal(resized['img'], expected) and resized['img_shape'] == (6, 5)


def test_resize__the_right_size_stays_as_it_is() -> None:
    pixels = np.zeros((6, 5, 3), dtype=np.uint8)
    assert ResizeRegionTextImage([6, 5])(dict(img=pixels))['img'] is pixels


# -- flip ---------------------------------------------------------------------------------------------------------


def test_flip__pixels_boxes_and_texts() -> None:
    given = results()
    flipped = FlipRegionTextImage(1.0)(dict(given, regions=[given['regions'][0] | dict(short_expr='the mug')]))
    assert np.array_equal(flipped['img'], given['img'][:, ::-1]) and flipped['img'].flags.c_contiguous
    assert flipped['caption'] == 'A mug to the right of a plate.' and flipped['short_caption'] == 'a mug'
    (region,) = flipped['regions']
    assert region['bbox'] == pytest.approx((0.6, 0.2, 0.9, 0.9))
    assert (region['long_expr'], region['negatives']) == ('a mug on the right', ['a mug on the left'])


def test_flip__twice_is_the_identity() -> None:
    given = results()
    given['regions'][0]['short_expr'] = 'mug'
    flip = FlipRegionTextImage(1.0)
    twice = flip(flip(dict(given)))
    assert np.array_equal(twice['img'], given['img']) and twice['caption'] == given['caption']
    assert twice['regions'][0]['bbox'] == pytest.approx(given['regions'][0]['bbox'])


@pytest.mark.parametrize('where', ['caption', 'short_caption', 'short_expr', 'long_expr', 'negatives'])
def test_flip__one_text_that_must_not_be_mirrored_keeps_everything(where: str) -> None:
    given = results(caption='a mug')
    given['regions'][0] = dict(bbox=(0.1, 0.2, 0.4, 0.9), short_expr='mug', long_expr='mug', negatives=['plate'])
    target = given if where.endswith('caption') else given['regions'][0]
    target[where] = ['a sign'] if where == 'negatives' else 'a mug left behind'
    kept = FlipRegionTextImage(1.0)(dict(given))
    assert kept['img'] is given['img'] and kept['regions'] is given['regions']


def test_flip__share_of_images() -> None:
    flip, rng = FlipRegionTextImage(0.3), np.random.default_rng(0)
    flipped = sum(flip(results('a mug', regions=[], rng=rng))['img'][0, 0, 0] != 0 for _ in range(1000))
    assert 250 < flipped < 350


def test_flip__never() -> None:
    flip, rng = FlipRegionTextImage(0.0), np.random.default_rng(0)
    assert all(flip(results('a mug', regions=[], rng=rng))['img'][0, 0, 0] == 0 for _ in range(50))


@pytest.mark.parametrize('prob', [-0.1, 1.1])
def test_flip__share_out_of_range(prob: float) -> None:
    with pytest.raises(ValueError, match=r'prob must lie in 0\.\.1'):
        FlipRegionTextImage(prob)


@pytest.mark.parametrize(
    ('text', 'mirrored'),
    [
        ('a cat', 'a cat'),
        ('on the left', 'on the right'),
        ('On the LEFT side, Right of it', 'On the RIGHT side, Left of it'),
        ('the left-hand side', 'the right-hand side'),
        ('its left ear and its right paw', 'its right ear and its left paw'),
        ('bright light, upright, copyright', 'bright light, upright, copyright'),
        ('leftmost and rightmost', 'rightmost and leftmost'),
        ('leftward, rightwards', 'rightward, leftwards'),
        ('the righteous leftovers', 'the righteous leftovers'),
    ],
)
def test_mirror_text__hand_cases(text: str, mirrored: str) -> None:
    assert mirror_text(text) == mirrored
    assert mirror_text(mirrored) == text


@pytest.mark.parametrize(
    ('text', 'possible'),
    [
        ('a cat on a mat', True),
        ('a cat on the left of a dog', True),
        ('a man with a bag in his right hand', True),
        ('the upper left corner', True),
        ('a bright light on an upright piano', True),
        ('a bag left behind on the left side', False),
        ('a cup left on a table', False),
        ('all right', False),
        ('a car right behind a truck', False),
        ('a stop sign', False),
        ('a clock on a tower', False),
        ('the number 7', False),
        ('a shirt with the word hello', False),
        ('two words', False),
        ('a box that says fragile', False),
        ('a sword', True),
        ('designs on a wall', True),
    ],
)
def test_can_mirror__hand_cases(text: str, possible: bool) -> None:
    assert can_mirror(text) is possible
