"""Text for pictures: the font, texts that fit, and places where labels hide little.

Rectangles are (left, top, right, bottom) in pixels of the picture that is drawn on.
"""

from functools import lru_cache
from pathlib import Path

import matplotlib
from PIL import ImageFont

Rectangle = tuple[int, int, int, int]


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


def place_labels(anchors: list[Rectangle], sizes: list[tuple[int, int]], image_wh: tuple[int, int]) -> list[Rectangle]:
    """Return where each label goes: at its box, inside the image, and off the labels placed before it where possible.

    Labels come in order of importance. Each takes the cheapest of a few places around its box; a place costs the share
    of the label that earlier labels cover, and a little more the less usual it is (above the box is most usual).

    Args:
        anchors: the boxes.
        sizes: width and height of each label.
        image_wh: size of the picture; a label that is larger starts at its left or top edge.
    """
    placed: list[Rectangle] = []
    for anchor, (width, height) in zip(anchors, sizes, strict=True):
        rectangles = [_inside(left, top, width, height, image_wh) for left, top in _corners(anchor, width, height)]
        costs = [
            sum(_overlap(rectangle, other) for other in placed) / (width * height) + 0.02 * rank
            for rank, rectangle in enumerate(rectangles)
        ]
        placed.append(rectangles[costs.index(min(costs))])
    return placed


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


def _inside(left: int, top: int, width: int, height: int, image_wh: tuple[int, int]) -> Rectangle:
    left = max(0, min(left, image_wh[0] - width))
    top = max(0, min(top, image_wh[1] - height))
    return left, top, left + width, top + height


def _overlap(a: Rectangle, b: Rectangle) -> int:
    """Return the area in pixels that two rectangles share."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
