"""Many pictures with their texts on one sheet, to look through."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fgdet.structures.detections import Detections
from fgdet.visualization.draw import draw_detections
from fgdet.visualization.labels import fit_text, load_font

_MARGIN = 12
_TEXT_SIZE = 14
_MOST_LINES = 5


@dataclass
class Cell:
    """One picture of a sheet.

    Args:
        image: (H, W, 3) uint8 RGB.
        detections: what is drawn on it, boxes in pixels of ``image``.
        title: the line above it.
        texts: paragraphs below it, each cut after a few lines.
    """

    image: np.ndarray
    detections: Detections
    title: str = ''
    texts: Sequence[str] = field(default_factory=list)


def draw_sheet(cells: Sequence[Cell], columns: int = 3, cell_width: int = 480) -> np.ndarray:
    """Lay cells out in rows.

    Args:
        cells: at least one.
        columns: cells in a row.
        cell_width: width of a picture in pixels; one that would become higher than it is wide is made narrower.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: there is no cell, or a number below 1.
    """
    if not cells or columns < 1 or cell_width < 1:
        raise ValueError(
            f'sheet: expected cells, columns and cell_width of at least 1, got {len(cells)}, {columns}, {cell_width}'
        )
    font = load_font(_TEXT_SIZE)
    pictures = [_draw_cell(cell, cell_width, font) for cell in cells]
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    width = min(columns, len(cells)) * (cell_width + _MARGIN) + _MARGIN
    sheet = Image.new('RGB', (width, sum(heights) + _MARGIN * (len(rows) + 1)), (225, 228, 232))
    top = _MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            sheet.paste(picture, (_MARGIN + column * (cell_width + _MARGIN), top))
        top += height + _MARGIN
    return np.asarray(sheet)


def _draw_cell(cell: Cell, width: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    """A white card with the title, the picture and the texts."""
    padding, line = _TEXT_SIZE // 2, round(1.35 * _TEXT_SIZE)
    picture = _draw_picture(cell, width)
    lines = [one for text in cell.texts for one in _wrap(text, font, width - 2 * padding)]
    head = line + padding if cell.title else 0
    card = Image.new('RGB', (width, head + picture.height + len(lines) * line + 2 * padding), 'white')
    draw = ImageDraw.Draw(card)
    draw.text((padding, padding // 2), fit_text(cell.title, font, width - 2 * padding), font=font, fill=(90, 96, 105))
    card.paste(picture, ((width - picture.width) // 2, head))
    for number, text in enumerate(lines):
        draw.text((padding, head + picture.height + padding + number * line), text, font=font, fill=(28, 30, 33))
    return card


def _draw_picture(cell: Cell, width: int) -> Image.Image:
    image = Image.fromarray(cell.image)
    scale = min(width / image.width, width / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    found = cell.detections
    boxes = found.boxes * np.array([size[0] / image.width, size[1] / image.height] * 2, np.float32)
    scaled = Detections(boxes, found.scores, found.labels, found.names)
    drawn = Image.fromarray(draw_detections(np.asarray(image.resize(size)), scaled, show_scores=False))
    return drawn if drawn.size == size else drawn.resize(size)  # a small one was enlarged for its labels


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines of at most ``width`` pixels; the last that is kept ends in an ellipsis where words are left out."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < _MOST_LINES - 1:
        count = 1
        while count < len(words) and font.getlength(' '.join(words[: count + 1])) <= width:
            count += 1
        lines.append(fit_text(' '.join(words[:count]), font, width))
        words = words[count:]
    return lines + ([fit_text(' '.join(words), font, width)] if words else [])
