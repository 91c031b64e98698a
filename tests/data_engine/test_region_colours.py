"""Colours are named where anybody would name them, and nowhere else."""

import numpy as np
import pytest

from fgdet.data_engine.region_colours import COLOURS, colour_classes, name_colours

NAMED = dict(
    black=(10, 10, 12),
    white=(250, 250, 245),
    red=(200, 20, 25),
    orange=(250, 140, 20),
    yellow=(250, 225, 40),
    green=(40, 150, 50),
    blue=(30, 60, 200),
    purple=(110, 40, 160),
    pink=(250, 150, 190),
    brown=(110, 65, 30),
)
#: Between two names, or grey.
UNNAMED = [(128, 128, 128), (90, 80, 75), (225, 70, 20), (190, 220, 40), (0, 160, 160), (200, 180, 150)]


def test_colour_classes__of_clear_and_of_doubtful_pixels():
    pixels = np.array([[*NAMED.values(), *UNNAMED]], np.uint8)
    classes = colour_classes(pixels)[:, 0]  # (C, W)
    assert classes.sum(0).tolist() == [1] * len(NAMED) + [0] * len(UNNAMED)
    assert [COLOURS[index] for index in classes[:, : len(NAMED)].argmax(0)] == list(NAMED)


def scene(around: tuple[int, int, int], inside: tuple[int, int, int]) -> np.ndarray:
    """(100, 100, 3): a square from 20 to 80."""
    pixels = np.full((100, 100, 3), around, np.uint8)
    pixels[20:80, 20:80] = inside
    return pixels


@pytest.mark.parametrize(
    'around, inside, name',
    [
        ((128, 128, 128), NAMED['blue'], 'blue'),
        (NAMED['green'], NAMED['green'], None),  # the background's
        ((128, 128, 128), NAMED['black'], 'black'),
        ((40, 40, 40), NAMED['black'], None),  # night
        ((128, 128, 128), UNNAMED[1], None),
    ],
)
def test_name_colours__of_one_thing(around, inside, name):
    assert name_colours(scene(around, inside), [(20, 20, 80, 80)]) == [name]


def test_name_colours__leaves_out_what_lies_upon_the_thing_and_odd_boxes():
    pixels = scene((128, 128, 128), NAMED['red'])
    pixels[35:65, 25:51] = NAMED['blue']  # a smaller thing, on most of the middle
    boxes = [(20.0, 20.0, 80.0, 80.0), (25.0, 35.0, 51.0, 65.0)]
    assert name_colours(pixels, boxes[:1]) == [None]
    assert name_colours(pixels, boxes) == ['red', None]
    odd = [(0, 0, 100, 100), (-50, -50, -10, -10), (30, 30, 30, 30), (90, 90, 400, 400)]
    assert name_colours(scene((128, 128, 128), NAMED['red']), odd) == [None] * 4
    assert name_colours(pixels, []) == []
    assert name_colours(scene((128, 128, 128), NAMED['red']), boxes[:1], [False]) == [None]
