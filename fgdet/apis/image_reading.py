"""Images in any of the forms that a user may give, as upright RGB arrays.

Axes: H W height and width in pixels.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from fgdet.apis.image_header import has_more_frames, is_whole, stated_size
from fgdet.utils.checks import UserError, existing_file

#: A path, an (H, W, 3) uint8 RGB array, or a PIL image.
ImageInput = str | Path | np.ndarray | Image.Image

#: 23,170 pixels square, 1.6 GB in memory: what a file may say it decodes to.
MAX_PIXELS = 2**29


class ImageFile(NamedTuple):
    """An image read from a file."""

    pixels: np.ndarray  # (H, W, 3) uint8 RGB, upright
    note: str | None  # what a user should know of it, such as that it is animated


def load_image(image: ImageInput) -> np.ndarray:
    """Any of the accepted forms as (H, W, 3) uint8 RGB, upright.

    Raises:
        UserError: a path holds no image, see :func:`read_image`, or a PIL image has numbers that are no 8 or 16 bits.
        ValueError: an array is of another form.
    """
    if isinstance(image, str | Path):
        return read_image(image).pixels
    if isinstance(image, Image.Image):
        return _from_pil(image)
    is_array = isinstance(image, np.ndarray)
    if not is_array or image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        found = f'{image.shape} {image.dtype}' if is_array else type(image).__name__
        raise ValueError(f'image: expected a path, a PIL image or an (H, W, 3) uint8 RGB array, got {found}')
    return image


def read_image(path: str | Path) -> ImageFile:
    """Decode a file as mmdet's data sets do: EXIF turns it upright, 16 bits become 8, transparency is left out, grey
    and CMYK become RGB, and of several frames the first is taken.

    Raises:
        UserError: it is no image, a part of it is missing or damaged, or it is larger than :data:`MAX_PIXELS`.
    """
    data = existing_file(path, 'image').read_bytes()
    size = stated_size(data)
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise UserError(
            f'image {path}: {size[0]} x {size[1]} pixels, more than the {MAX_PIXELS // 10**6} million that are read '
            'at once; shrink it or cut it into parts'
        )
    try:
        whole = bool(data) and is_whole(data)
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if whole else None
    except cv2.error as error:
        raise UserError(f'image {path}: OpenCV refuses it ({" ".join(error.err.split())})') from error
    except MemoryError as error:
        raise UserError(f'image {path}: it does not fit into memory; shrink it or cut it into parts') from error
    if decoded is None:
        what = 'the file is empty' if not data else 'it cannot be read as an image; is it one, and complete?'
        raise UserError(f'image {path}: {what}')
    return ImageFile(
        decoded[..., ::-1], 'it has several frames, of which the first is taken' if has_more_frames(data) else None
    )


def _from_pil(image: Image.Image) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I;16'):  # PIL would cut off what is above 255
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ('I', 'F'):
        raise UserError(f'image: a PIL image of mode {image.mode!r} has no known range; convert it to 8 bits first')
    return np.asarray(image.convert('RGB'))
