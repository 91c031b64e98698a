"""Images as they travel in a request: upright, no larger than is of use, as JPEG in a data URL."""

import base64
import io
from pathlib import Path

from PIL import Image

from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.picture import read_picture

#: Of the JPEG; its marks are not seen by models at this quality, and it is a third of the size of 95.
_QUALITY = 85


def image_data_url(path: str | Path, longest_side: int) -> str:
    """Return ``data:image/jpeg;base64,...`` of an image file.

    Args:
        path: the file.
        longest_side: a larger image is made smaller until this is its longer side, in pixels.

    Raises:
        ValueError: the file is missing, no image, cut off or too large; the message is one line and names the file.
    """
    path = Path(path)
    image = read_picture(path.parent, ImageRecord('', path.name), longest_side).image
    image.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=_QUALITY)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'
