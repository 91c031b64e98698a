"""Files to detect on: broken images, and videos."""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.detector_builders import write_picture


def damaged_files(folder: Path) -> dict[str, str]:
    """Files that hold no whole image, and what is said of each."""
    pixels = write_picture(folder / 'whole.png', (48, 64))
    (folder / 'text.jpg').write_text('hello')
    (folder / 'empty.jpg').write_bytes(b'')
    whole = (folder / 'whole.png').read_bytes()
    (folder / 'cut.png').write_bytes(whole[: len(whole) // 2])
    (folder / 'changed.png').write_bytes(whole[:60] + b'\0\1\2' + whole[63:])
    for form in ('JPEG', 'WEBP', 'GIF', 'TIFF', 'BMP'):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form)
        (folder / f'cut.{form.lower()}').write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    return {
        path.name: 'the file is empty' if path.name == 'empty.jpg' else 'it cannot be read as an image'
        for path in folder.iterdir()
        if path.name != 'whole.png'
    }


def write_video(path: Path, num_frames: int = 12, size_wh: tuple[int, int] = (64, 48), fps: float = 5.0) -> Path:
    """Frames of one grey each, 20 steps apart, told from their mean; ``.avi`` holds JPEG pictures."""
    code = cv2.VideoWriter.fourcc(*('MJPG' if path.suffix == '.avi' else 'mp4v'))
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), code, fps, size_wh)
    assert writer.isOpened()
    noise = np.random.default_rng(0).integers(0, 10, (*size_wh[::-1], 3), dtype=np.uint8)
    for number in range(num_frames):
        writer.write(noise + np.uint8(20 * number))
    writer.release()
    return path
