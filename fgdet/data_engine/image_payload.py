"""Images as they travel in a request: upright, no larger than is of use, as JPEG in a data URL."""

import base64
import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps

#: Of the JPEG; its marks are not seen by models at this quality, and it is a third of the size of 95.
_QUALITY = 85


def read_upright(path: str | Path, longest_side: int | None = None) -> Image.Image:
    """Return an image as RGB, turned as its EXIF data says.

    Args:
        path: the file.
        longest_side: a larger image is made smaller until this is its longer side, in pixels; None leaves it.

    Raises:
        ValueError: it is no image, is cut off or has too many pixels; the message is one line and names the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if longest_side is not None:
                    image.draft('RGB', (longest_side, longest_side))
                upright = ImageOps.exif_transpose(image)
                if longest_side is not None:
                    upright.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
                return upright.convert('RGB')
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = getattr(error, 'strerror', None) or str(error).partition('\n')[0]
        raise ValueError(f'image {path}: cannot be read ({reason})') from error


def image_data_url(path: str | Path, longest_side: int) -> str:
    """Return ``data:image/jpeg;base64,...`` of an image.

    Raises:
        ValueError: as :func:`read_upright` does.
    """
    buffer = io.BytesIO()
    read_upright(path, longest_side).save(buffer, 'JPEG', quality=_QUALITY)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'
