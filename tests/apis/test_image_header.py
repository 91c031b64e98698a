"""What bytes say, on files that Pillow writes."""

import io

import numpy as np
import pytest
from PIL import Image

from fgdet.apis.image_header import has_more_frames, is_whole, stated_size


def encoded(form: str, size: tuple[int, int] = (40, 24), **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def with_thumbnail() -> bytes:
    """A JPEG file with a smaller one, end mark and all, in its EXIF segment."""
    exif = b'Exif\0\0' + encoded('JPEG', (8, 8))
    return encoded('JPEG', exif=exif)


@pytest.mark.parametrize(
    'data',
    [encoded('PNG'), encoded('JPEG'), encoded('JPEG', progressive=True), with_thumbnail()],
    ids=['png', 'jpeg', 'progressive', 'thumbnail'],
)
def test_header__size_and_whether_all_is_there(data: bytes) -> None:
    assert stated_size(data) == (40, 24)
    assert is_whole(data)
    assert is_whole(data + b'more, as cameras write it')
    for length in range(8, len(data) - 2, 7):
        assert not is_whole(data[:length]), length


def test_header__a_changed_byte_in_a_png() -> None:
    data = bytearray(encoded('PNG'))
    data[len(data) // 2] ^= 1
    assert not is_whole(bytes(data))


def test_header__other_files_say_nothing() -> None:
    for data in (b'', b'hello', encoded('BMP'), encoded('WEBP'), b'\x89PNG\r\n\x1a\n', b'\xff\xd8'):
        assert stated_size(data) is None
        assert not has_more_frames(data)
    assert is_whole(b'hello')


@pytest.mark.parametrize('form', ['GIF', 'WEBP', 'PNG', 'TIFF'])
def test_header__more_frames(form: str) -> None:
    second = Image.new('RGB', (40, 24), (1, 2, 3))
    assert has_more_frames(encoded(form, save_all=True, append_images=[second]))
    assert not has_more_frames(encoded(form))
    assert not has_more_frames(encoded(form, save_all=True, append_images=[second])[:16])
