"""Every form of image that comes, against what Pillow says of it; and what is refused."""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fgdet.apis import image_reading
from fgdet.apis.image_reading import load_image, read_image
from fgdet.utils.checks import UserError
from tests.detector_builders import write_picture
from tests.input_builders import damaged_files


@pytest.mark.parametrize('orientation', range(1, 9))
def test_load__exif_sets_a_photograph_upright(tmp_path: Path, orientation: int) -> None:
    pixels = write_picture(tmp_path / 'a.png', (40, 64))
    turns = [lambda a: a, np.fliplr, lambda a: np.rot90(a, 2), np.flipud, lambda a: np.swapaxes(a, 0, 1)]
    turns += [lambda a: np.rot90(a, -1), lambda a: np.swapaxes(np.rot90(a, 2), 0, 1), np.rot90]
    upright = turns[orientation - 1](pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / 'turned.png', exif=exif)
    Image.fromarray(pixels).save(tmp_path / 'turned.jpg', exif=exif, quality=100, subsampling=0)
    np.testing.assert_array_equal(load_image(tmp_path / 'turned.png'), upright)
    np.testing.assert_array_equal(load_image(Image.open(tmp_path / 'turned.png')), upright)
    assert np.abs(load_image(tmp_path / 'turned.jpg').astype(int) - upright).max() < 16


@pytest.mark.parametrize(
    ('name', 'mode', 'atol'),
    [('a.png', 'L', 0), ('a.png', 'RGBA', 0), ('a.png', 'LA', 0), ('a.png', 'P', 0), ('a.png', '1', 0),
     ('a.jpg', 'L', 1), ('a.jpg', 'CMYK', 4), ('a.tif', 'CMYK', 0), ('a.bmp', 'RGB', 0), ('a.webp', 'RGBA', 0),
     ('a.gif', 'P', 0)],
)  # fmt: skip
def test_load__grey_transparent_palette_and_cmyk(tmp_path: Path, name: str, mode: str, atol: int) -> None:
    picture = Image.fromarray(write_picture(tmp_path / 'source.png')).convert(mode)
    picture.save(tmp_path / name, **(dict(lossless=True) if name == 'a.webp' else {}))
    with Image.open(tmp_path / name) as stored:
        expected = np.asarray(stored.convert('RGB')).astype(int)
        assert np.abs(load_image(stored).astype(int) - expected).max() == 0
    assert np.abs(load_image(tmp_path / name) - expected).max() <= atol
    assert read_image(tmp_path / name).note is None


def test_load__sixteen_bits_become_eight(tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'a.png')
    for name in ('colour.png', 'colour.tif'):
        cv2.imwrite(str(tmp_path / name), pixels[..., ::-1].astype(np.uint16) * 257)
        np.testing.assert_array_equal(load_image(tmp_path / name), pixels)
    cv2.imwrite(str(tmp_path / 'grey.png'), pixels[..., 0].astype(np.uint16) * 257)
    grey = np.repeat(pixels[..., :1], 3, axis=2)
    np.testing.assert_array_equal(load_image(tmp_path / 'grey.png'), grey)
    with Image.open(tmp_path / 'grey.png') as stored:
        np.testing.assert_array_equal(load_image(stored), grey)
    with pytest.raises(UserError, match="mode 'F' has no known range"):
        load_image(Image.new('F', (4, 4)))


@pytest.mark.parametrize('name', ['a.gif', 'a.webp', 'a.png'])
def test_read__an_animation_gives_its_first_frame_and_says_so(tmp_path: Path, name: str) -> None:
    first, second = Image.new('RGB', (12, 9), (200, 10, 10)), Image.new('RGB', (12, 9), (10, 10, 200))
    first.save(
        tmp_path / name, save_all=True, append_images=[second], **(dict(lossless=True) if 'webp' in name else {})
    )
    image = read_image(tmp_path / name)
    assert np.abs(image.pixels.astype(int) - [200, 10, 10]).max() < 5
    assert image.note == 'it has several frames, of which the first is taken'


@pytest.mark.parametrize(
    'image', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((3, 4, 5), np.uint8), None]
)
def test_load__refuses_other_arrays(image: Any) -> None:
    with pytest.raises(ValueError, match=r'expected a path, a PIL image or an \(H, W, 3\) uint8 RGB array, got'):
        load_image(image)


def test_read__refuses_what_is_no_whole_image(tmp_path: Path) -> None:
    cases = damaged_files(tmp_path)
    assert len(cases) == 9
    for name, message in cases.items():
        with pytest.raises(UserError, match=f'{name}: {message}'):
            read_image(tmp_path / name)
    with pytest.raises(UserError, match='no such file'):
        load_image(tmp_path / 'none.jpg')


def png_that_says(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that promises a picture of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', data) + chunk(b'IEND', b'')


def test_read__refuses_a_bomb_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('decoded'))
    (tmp_path / 'bomb.png').write_bytes(png_that_says(30_000, 30_000))
    with pytest.raises(UserError, match=r'bomb.png: 30000 x 30000 pixels, more than the 536 million'):
        read_image(tmp_path / 'bomb.png')
    monkeypatch.setattr(image_reading, 'MAX_PIXELS', 100)
    Image.new('RGB', (11, 10)).save(tmp_path / 'a.jpg')
    with pytest.raises(UserError, match=r'a.jpg: 11 x 10 pixels'):
        read_image(tmp_path / 'a.jpg')


def test_read__a_side_of_20000_pixels_and_of_one(tmp_path: Path) -> None:
    for name, size in (('wide.png', (20_000, 30)), ('dot.png', (1, 1))):
        Image.new('RGB', size, (9, 8, 7)).save(tmp_path / name)
        pixels = load_image(tmp_path / name)
        assert pixels.shape == (size[1], size[0], 3)
        assert (pixels[0, -1] == (9, 8, 7)).all()


def test_read__a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / 'a.png')

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(Path, 'read_bytes', refuse)
    with pytest.raises(OSError, match=r'Permission denied.*a.png'):
        read_image(tmp_path / 'a.png')
