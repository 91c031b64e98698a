"""The sheet: pictures where they belong, texts within their cards."""

import numpy as np
import pytest

from fgdet.structures.detections import Detections
from fgdet.visualization.sample_sheet import Cell, draw_sheet


def cell(color: tuple[int, int, int], size_hw: tuple[int, int], text: str = '') -> Cell:
    image = np.full((*size_hw, 3), color, np.uint8)
    found = Detections(np.array([[0, 0, size_hw[1] / 2, size_hw[0] / 2]]), np.ones(1), np.zeros(1, int), ['left top'])
    return Cell(image, found, 'title', [text] if text else [])


def test_draw_sheet__places_and_sizes() -> None:
    cells = [cell((250, 0, 0), (50, 100)), cell((0, 250, 0), (100, 50)), cell((0, 0, 250), (400, 400), 'word ' * 500)]
    sheet = draw_sheet(cells, columns=2, cell_width=200)
    assert sheet.shape[1] == 2 * 200 + 3 * 12
    red, green, blue = (np.argwhere((sheet == color).all(2)) for color in ((250, 0, 0), (0, 250, 0), (0, 0, 250)))
    assert red[:, 1].min() >= 12 and red[:, 1].max() < 212 and np.ptp(red[:, 1]) > 190
    assert np.ptp(red[:, 0]) <= 100  # half as high as wide
    assert green[:, 1].min() >= 224 + 50 and green[:, 1].max() < 224 + 150  # in the middle of its card
    assert blue[:, 0].min() > max(red[:, 0].max(), green[:, 0].max())
    assert sheet.shape[0] - blue[:, 0].max() < 140  # five lines of text at most


def test_draw_sheet__boxes_follow_the_scale() -> None:
    sheet = draw_sheet([cell((200, 200, 200), (1000, 1000))], columns=1, cell_width=400)
    head = np.argwhere((sheet == 200).all(2)).min(0)[0]
    frame = sheet[head : head + 400, 12:412].astype(int)
    other = np.ptp(frame, axis=2) > 40  # the frame's colour
    rows, columns = np.flatnonzero(other[:, 100:190].any(1)), np.flatnonzero(other[100:190].any(0))
    assert abs(rows.max() - 199) <= 2 and abs(columns.max() - 199) <= 2


def test_draw_sheet__nothing_to_draw() -> None:
    with pytest.raises(ValueError, match='at least 1'):
        draw_sheet([])
