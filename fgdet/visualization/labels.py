"""Text for pictures: the font, texts that fit, and places where labels hide little.

Rectangles are (left, top, right, bottom) in pixels of the picture that is drawn on.
"""

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import ImageFont

Rectangle = tuple[int, int, int, int]

#: Share of a label that others may cover.
MAX_COVERED = 0.3


@lru_cache(maxsize=32)
def load_font(size: int, path: str | None = None) -> ImageFont.FreeTypeFont:
    """Return a TrueType font; None is DejaVu Sans, which matplotlib brings: Latin, Greek, Cyrillic, Arabic, symbols.

    Args:
        size: height in pixels.
        path: another font file, needed for Chinese, Japanese or Korean names.
    """
    default = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'
    return ImageFont.truetype(str(path or default), size)


def fit_text(text: str, font: ImageFont.FreeTypeFont, max_width: float) -> str:
    """Return ``text`` on one line, cut with an ellipsis where it is wider than ``max_width`` pixels."""
    text = ' '.join(text.split())
    if font.getlength(text) <= max_width:
        return text
    while text and font.getlength(text + '…') > max_width:
        text = text[:-1]
    return text + '…'


def place_labels(
    anchors: list[Rectangle], sizes: list[tuple[int, int]], image_wh: tuple[int, int]
) -> list[Rectangle | None]:
    """Return where each label goes: at its box, inside the image, and off the labels placed before it where possible.

    Labels come in order of importance. Each takes the most usual place around its box that no earlier label covers
    (above the box, then inside, below ...); where all are covered the nearest free one of many, or the least covered.
    A label that would be covered by more than ``MAX_COVERED`` gets no place, as none of hundreds could be read.

    Args:
        anchors: the boxes.
        sizes: width and height of each label.
        image_wh: size of the picture; a label that is larger starts at its left or top edge.
    """
    placed: list[Rectangle] = []
    places: list[Rectangle | None] = []
    for anchor, (width, height) in zip(anchors, sizes, strict=True):
        for corners in (_corners(anchor, width, height), _around(anchor, width, height)):
            rectangles = [_inside(left, top, width, height, image_wh) for left, top in corners]
            covered = _covered(rectangles, placed)  # (P,)
            best = int(np.argmin(covered))  # the first of those that are free
            if not covered[best]:
                break
        places.append(rectangles[best] if covered[best] <= MAX_COVERED else None)
        placed += [rectangles[best]] if places[-1] else []
    return places


def _corners(anchor: Rectangle, width: int, height: int) -> list[tuple[int, int]]:
    """Return left and top corners for a label of the box ``anchor``, the most usual first."""
    left, top, right, bottom = anchor
    corners = [(left, top - height), (left, top), (left, bottom), (left, bottom - height)]
    corners += [(right - width, row) for _, row in corners]
    corners += [(right, top), (left - width, top), (right, bottom - height), (left - width, bottom - height)]
    for step in (1, 2):  # further off: above, below and inside
        for column in (left, right - width):
            corners += [(column, top - (step + 1) * height), (column, bottom + step * height)]
            corners += [(column, top + step * height)]
    return corners


def _around(anchor: Rectangle, width: int, height: int) -> list[tuple[int, int]]:
    """Return corners on a grid around the box ``anchor``, the nearest first, for where it is crowded."""
    left, top = anchor[:2]
    around = [(left + x * width // 4, top + y * height // 2) for y in range(-12, 13) for x in range(-8, 9)]
    return sorted(around, key=lambda corner: abs(corner[0] - left) + abs(corner[1] - top))


def _inside(left: int, top: int, width: int, height: int, image_wh: tuple[int, int]) -> Rectangle:
    left = max(0, min(left, image_wh[0] - width))
    top = max(0, min(top, image_wh[1] - height))
    return left, top, left + width, top + height


def _covered(rectangles: list[Rectangle], placed: list[Rectangle]) -> np.ndarray:
    """Return the share of each of P rectangles that those placed already cover, (P,), counted twice where two do."""
    if not placed:
        return np.zeros(len(rectangles))
    one, other = np.array(rectangles)[:, None], np.array(placed)[None]  # (P, 1, 4), (1, Q, 4)
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])  # (P, Q, 2)
    return sides.clip(0).prod(axis=2).sum(axis=1) / (one[..., 2:] - one[..., :2]).prod(axis=2)[:, 0]
