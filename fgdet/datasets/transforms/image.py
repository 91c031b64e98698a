"""Steps that make the pixels: load, resize, flip."""

import os
import re
import stat
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from fgdet.registry import TRANSFORMS
from fgdet.structures.region_text_sample import BadRecord

#: Larger images are refused: a quarter of a gigabyte when decoded, the bound from which Pillow warns.
MOST_PIXELS = 89_478_485
#: A larger file is refused unread.
MOST_BYTES = 64 << 20
#: Formats that are read. Pillow knows others, of which some run programs or other code of the file's choice.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'GIF', 'BMP', 'TIFF')
_SPATIAL = re.compile(
    r'\b(?:(?:on|to|at|from|in|toward|towards|its|his|her|their|the|upper|lower|top|bottom|far|facing|turned|looking)'
    r'[ -](left|right)|(left|right)[ -](?:side|hand|of|corner|edge|half|part|arm|leg|foot|eye|ear|most))\b',
    re.IGNORECASE,
)
_SIDE = re.compile(r'\b(left|right)(?=\b|most\b|ward\b|wards\b)', re.IGNORECASE)
# A mirrored letter or clock is no longer what the caption says.
_UNFLIPPABLE = re.compile(
    r'\b(?:text|letters?|words?|writing|written|reads?|says?|sign|logo|number|clock|clockwise|counterclockwise)\b',
    re.IGNORECASE,
)


@TRANSFORMS.register_module()
class LoadRegionTextImage:
    """Read ``img_path``, or ``img_bytes`` where there are some, into ``img``, an RGB image of Pillow.

    It becomes an array once it is small. Sets ``ori_shape`` and ``img_shape`` (h, w).

    Raises (on call):
        BadRecord: the file is missing, no image, truncated, of none of :data:`FORMATS`, or too large.
    """

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        path, data = results['img_path'], results.pop('img_bytes', None)
        try:
            if data is None:
                check_file(path)
            with Image.open(path if data is None else BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise BadRecord(f'image {path} has {image.width} x {image.height} pixels')
                image.load()
                results['img'] = image if image.mode == 'RGB' else image.convert('RGB')
        except BadRecord:
            raise
        except FileNotFoundError as error:
            raise BadRecord(f'image {path} does not exist') from error
        except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
            raise BadRecord(f'image {path} cannot be read ({error})') from error
        results['ori_shape'] = results['img_shape'] = results['img'].size[::-1]
        return results


def check_file(path: str) -> None:
    """Raise BadRecord for a pipe or a device, on which reading would hang, and for a file of too many bytes."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise BadRecord(f'image {path} cannot be read (it is no file)')
    if status.st_size > MOST_BYTES:
        raise BadRecord(f'image {path} has {status.st_size} bytes, more than the {MOST_BYTES} allowed')


@TRANSFORMS.register_module()
class ResizeRegionTextImage:
    """Resize ``img``, of Pillow or (H, W, 3) uint8, to an array, bicubic with antialiasing.

    Its aspect ratio is not kept, as in FG-CLIP's training. Boxes are normalised at this point and stay as they are.

    Args:
        size_hw: height and width wanted, in pixels.
    """

    def __init__(self, size_hw: Sequence[int]) -> None:
        self.size_hw = (size_hw[0], size_hw[1])

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        image = results['img']
        size_hw = image.size[::-1] if isinstance(image, Image.Image) else image.shape[:2]
        if size_hw != self.size_hw:
            image = image if isinstance(image, Image.Image) else Image.fromarray(image)
            image = image.resize(self.size_hw[::-1], Image.Resampling.BICUBIC)
        results['img'] = np.asarray(image)
        results['img_shape'] = self.size_hw
        return results


@TRANSFORMS.register_module()
class FlipRegionTextImage:
    """Mirror the image and its boxes, and swap left and right in its texts.

    An image stays as it is where its texts tell of things that a mirror changes (letters, clocks), or use "left" or
    "right" in another sense than a side ("left behind", "all right").

    Args:
        prob: share of images to mirror, of those that may be.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in 0..1, got {prob}')
        self.prob = prob

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        if results['rng'].random() >= self.prob:
            return results
        regions = results['regions']
        texts = [results['caption'], results['short_caption']]
        texts += [text for r in regions for text in (r['short_expr'], r['long_expr'], *r['negatives'])]
        if not all(can_mirror(text) for text in texts):
            return results
        results['img'] = np.ascontiguousarray(np.asarray(results['img'])[:, ::-1])
        results['caption'] = mirror_text(results['caption'])
        results['short_caption'] = mirror_text(results['short_caption'])
        results['regions'] = [
            dict(
                bbox=(1 - r['bbox'][2], r['bbox'][1], 1 - r['bbox'][0], r['bbox'][3]),
                short_expr=mirror_text(r['short_expr']),
                long_expr=mirror_text(r['long_expr']),
                negatives=[mirror_text(text) for text in r['negatives']],
            )
            for r in regions
        ]
        return results


def can_mirror(text: str) -> bool:
    """Whether a text stays true of the mirrored image once its sides are swapped."""
    if _UNFLIPPABLE.search(text):
        return False
    spatial = sum(len(re.findall('left|right', m.group(), re.IGNORECASE)) for m in _SPATIAL.finditer(text))
    return spatial == len(re.findall(r'\b(?:left|right)', text, re.IGNORECASE))


def mirror_text(text: str) -> str:
    """Swap "left" and "right", keeping their case."""
    return _SIDE.sub(_other_side, text)


def _other_side(match: re.Match[str]) -> str:
    word = match.group()
    other = 'right' if word.lower() == 'left' else 'left'
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
