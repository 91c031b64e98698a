"""What the bytes of an image file say before anything is decoded: its size, whether all of it is there, other frames.

JPEG and PNG are read here as they decode half-way, or loudly, where something is missing; GIF, WebP and TIFF only for
the number of their frames.
"""

import io
import zlib
from collections.abc import Iterator

from PIL import Image

_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
# Start-of-frame markers; C4, C8 and CC are tables and a reserved one.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN, _JPEG_END = 0xDA, b'\xff\xd9'


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG or PNG file says it has; None for another file or where they are missing."""
    if data.startswith(_PNG):
        return (int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')) if len(data) >= 24 else None
    for marker, start in _jpeg_segments(data):
        if marker in _JPEG_FRAMES and start + 7 <= len(data):
            height, width = data[start + 3 : start + 5], data[start + 5 : start + 7]
            return int.from_bytes(width, 'big'), int.from_bytes(height, 'big')
    return None


def is_whole(data: bytes) -> bool:
    """False where a JPEG file has no end, or a PNG file lacks its end or has a part whose check sum is wrong."""
    if data.startswith(_PNG):
        chunks = list(_png_chunks(data))
        return bool(chunks) and chunks[-1][0] == b'IEND' and all(intact for _, intact in chunks)
    if data.startswith(_JPEG):
        scans = [start for marker, start in _jpeg_segments(data) if marker == _JPEG_SCAN]
        return bool(scans) and data.find(_JPEG_END, scans[0]) >= 0
    return True


def has_more_frames(data: bytes) -> bool:
    """True for an animated GIF, WebP or PNG, and for a TIFF file of several pages."""
    if data.startswith(_PNG):
        return data.find(b'acTL', 0, max(0, data.find(b'IDAT'))) >= 0
    if data[8:16] == b'WEBPVP8X':
        return len(data) > 20 and bool(data[20] & 2)
    if data.startswith((b'GIF8', b'II*\0', b'MM\0*')):
        try:
            with Image.open(io.BytesIO(data)) as image:
                return getattr(image, 'is_animated', False)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return False
    return False


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Each chunk up to the end of the picture: its name, and whether its check sum is right; a cut one is not given."""
    view, place = memoryview(data), len(_PNG)
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(view[place : place + 4], 'big')
        if end > len(data):
            return
        kind = bytes(view[place + 4 : place + 8])
        yield kind, zlib.crc32(view[place + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], 'big')
        if kind == b'IEND':
            return
        place = end


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and start of each segment up to the first scan; thumbnails lie inside segments and are passed over."""
    if not data.startswith(_JPEG):
        return
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # filler
            place += 1
            continue
        yield marker, place + 2
        if marker == _JPEG_SCAN:
            return
        place += 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
