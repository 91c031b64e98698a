"""Reading an image of a record: upright, whole, and no larger than a stage needs."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from fgdet.data_engine.image_record import ImageRecord
from fgdet.datasets.transforms.image import FORMATS, MOST_PIXELS, check_file
from fgdet.structures.region_text_sample import BadRecord

_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)


class Picture(NamedTuple):
    """What is read."""

    image: Image.Image  # RGB, upright, perhaps smaller than the file
    width: int  # pixels of the whole image, upright
    height: int


def read_picture(images: str | Path, record: ImageRecord, side: int | None = None) -> Picture:
    """The image of a record, turned upright by its EXIF.

    Args:
        images: the folder that ``record.path`` is relative to.
        record: of which the path is read, and the size where it has one.
        side: a JPEG file may be decoded to a half, a quarter or an eighth as long as its longer side stays at least
            this, in pixels: several times faster. None decodes all of it.

    Raises:
        BadRecord: the file is missing, no image, cut off, of a format that is not read, too large, or of another size
            than the record says, where boxes would lie elsewhere.
    """
    path = Path(images) / record.path
    try:
        check_file(str(path))
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise BadRecord(f'image {record.path} has {image.width} x {image.height} pixels')
            turned = image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
            width, height = image.size[::-1] if turned else image.size
            if (record.width or width, record.height or height) != (width, height):
                raise BadRecord(
                    f'image {record.path} has {width} x {height} pixels upright, the record says '
                    f'{record.width} x {record.height}'
                )
            if side is not None and max(image.size) > side:
                scale = side / max(image.size)
                image.draft('RGB', (round(image.width * scale), round(image.height * scale)))
            return Picture(ImageOps.exif_transpose(image).convert('RGB'), width, height)
    except BadRecord as error:
        raise BadRecord(str(error).replace(str(path), record.path)) from error
    except FileNotFoundError as error:
        raise BadRecord(f'image {record.path} does not exist') from error
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        reason = str(error).replace(str(path), record.path)
        raise BadRecord(f'image {record.path} cannot be read ({" ".join(reason.split())})') from error
