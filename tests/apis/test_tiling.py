"""Tiles: their geometry against loops, and what becomes of a box that a border cuts."""

import itertools

import numpy as np
import pytest

from fgdet.apis.tiling import concatenate, cut_sides, detect_tiled, join_halves, merge_tiles, tile_grid
from fgdet.structures.detections import Detections
from fgdet.utils.checks import UserError


def found(*rows: tuple, masks: np.ndarray | None = None) -> Detections:
    """(x1, y1, x2, y2, score, label) each."""
    table = np.array(rows, dtype=float).reshape(-1, 6)
    labels = table[:, 5].astype(int)
    return Detections(table[:, :4], table[:, 4], labels, [f'name {label}' for label in labels], masks)


@pytest.mark.parametrize('seed', range(20))
def test_grid__covers_and_overlaps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(each) for each in rng.integers(1, 400, 2))
    tile, overlap = int(rng.integers(10, 150)), float(rng.uniform(0, 0.6))
    tiles = tile_grid((height, width), tile, overlap)
    seen = np.zeros((height, width), dtype=int)
    for x1, y1, x2, y2 in tiles:
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        assert (x2 - x1, y2 - y1) == (min(tile, width), min(tile, height))
        seen[y1:y2, x1:x2] += 1
    assert seen.min() >= 1
    for axis in (0, 1):
        begins = sorted(set(tiles[:, axis].tolist()))
        for one, next_one in itertools.pairwise(begins):
            assert one + tile - next_one >= overlap * tile - 1e-9  # what both see


def test_grid__a_thing_smaller_than_the_overlap_lies_whole_in_a_tile() -> None:
    rng = np.random.default_rng(0)
    tiles = tile_grid((500, 700), 128, 0.25)
    for _ in range(300):
        w, h = rng.uniform(1, 32, 2)
        x, y = rng.uniform(0, 700 - w), rng.uniform(0, 500 - h)
        assert any(t[0] <= x and t[1] <= y and x + w <= t[2] and y + h <= t[3] for t in tiles)


def test_grid__refuses_nonsense() -> None:
    for tile, overlap in ((0, 0.2), (10, 1.0), (10, -0.1)):
        with pytest.raises(UserError, match='tiles: expected'):
            tile_grid((10, 10), tile, overlap)


def test_cut_sides__only_at_borders_inside_the_image() -> None:
    boxes = np.array([[100.0, 50, 150, 80], [120, 0, 298.5, 90], [110, 10, 290, 99]])
    cut = cut_sides(boxes, np.array([100, 0, 300, 100]), (400, 600))
    expected = [[True, False, False, False], [False, False, True, False], [False, False, False, True]]
    np.testing.assert_array_equal(cut, expected)
    assert not cut_sides(np.array([[0.0, 0, 600, 400]]), np.array([0, 0, 600, 400]), (400, 600)).any()


def test_join_halves__by_what_both_tiles_see() -> None:
    left, right, far = [0, 0, 100, 100], [70, 0, 170, 100], [140, 0, 240, 100]
    boxes = np.array(
        [[20.0, 10, 100, 40], [70, 10, 170, 40], [140, 11, 200, 41], [60, 60, 100, 90], [70, 10, 150, 40], [0, 0, 5, 5]]
    )
    tiles = np.array([left, right, far, left, right, left])
    labels = np.array([0, 0, 0, 0, 1, 0])
    assert join_halves(boxes, labels, tiles) == [[0, 1, 2], [3], [4], [5]]
    assert join_halves(boxes[:0], labels[:0], tiles[:0]) == []


TILES = tile_grid((100, 170), 100, 0.3)  # two: columns 0 to 100 and 70 to 170


def merged(first: Detections, second: Detections, whole: Detections | None = None, **options) -> Detections:
    return merge_tiles([first, second], TILES, whole or found(), (100, 170), 0.3, **options)


def test_merge__one_thing_seen_by_both_tiles_is_one() -> None:
    result = merged(found((75, 20, 95, 40, 0.8, 0)), found((75, 21, 95, 41, 0.9, 0)))
    np.testing.assert_array_equal(result.boxes, [[75, 21, 95, 41]])


def test_merge__a_cut_part_goes_where_the_neighbour_sees_the_whole() -> None:
    result = merged(found((80, 20, 100, 40, 0.95, 0)), found((80, 20, 120, 40, 0.6, 0)))
    np.testing.assert_array_equal(result.boxes, [[80, 20, 120, 40]])


def test_merge__a_short_part_that_the_neighbour_does_not_see_is_dropped() -> None:
    assert len(merged(found((80, 20, 100, 40, 0.95, 0)), found())) == 0


def test_merge__halves_become_one_box_with_the_best_score() -> None:
    result = merged(found((30, 20, 100, 40, 0.7, 0)), found((70, 20, 140, 41, 0.9, 0)))
    np.testing.assert_array_equal(result.boxes, [[30, 20, 140, 41]])
    assert result.scores == pytest.approx([0.9])


def test_merge__a_long_part_stays_unless_the_whole_image_shows_more() -> None:
    part = found((30, 20, 100, 40, 0.7, 0))
    np.testing.assert_array_equal(merged(part, found()).boxes, part.boxes)
    whole = found((30, 20, 150, 40, 0.5, 0))
    np.testing.assert_array_equal(merged(part, found(), whole).boxes, whole.boxes)


def test_merge__names_suppress_each_other_only_when_agnostic() -> None:
    first, second = found((20, 20, 60, 60, 0.8, 0)), found()
    whole = found((20, 20, 60, 61, 0.7, 1))
    assert merged(first, second, whole).labels.tolist() == [0, 1]
    assert merged(first, second, whole, agnostic=True).labels.tolist() == [0]
    assert merged(first, second, found((20, 20, 60, 40, 0.7, 0)), iou=0.4).scores == pytest.approx([0.8])


def test_merge__nothing_anywhere() -> None:
    assert len(merged(found(), found())) == 0


def squares(image: np.ndarray) -> Detections:
    """A detector that sees each colour as one thing, its box and mask, as far as the picture shows it."""
    colours = [colour for colour in np.unique(image[..., 0]) if colour]
    masks = np.array([image[..., 0] == colour for colour in colours]).reshape(-1, *image.shape[:2])
    rows = []
    for mask, colour in zip(masks, colours, strict=True):
        y, x = np.nonzero(mask)
        rows.append((x.min(), y.min(), x.max() + 1, y.max() + 1, 0.5 + colour / 1000, colour % 3))
    return found(*rows, masks=masks)


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of up to 12 rectangles that do not overlap, and their boxes by colour."""
    rng = np.random.default_rng(seed)
    image = np.zeros((310, 430, 3), np.uint8)
    boxes = []
    for _ in range(60):
        w, h = rng.integers(4, 180, 2)
        x, y = rng.integers(0, 430 - w), rng.integers(0, 310 - h)
        if len(boxes) < 12 and not image[max(0, y - 3) : y + h + 3, max(0, x - 3) : x + w + 3].any():
            boxes.append((x, y, x + w, y + h))
            image[y : y + h, x : x + w] = len(boxes)
    return image, np.array(boxes, dtype=float)


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('sees_whole', [True, False])
def test_detect_tiled__finds_each_thing_once_and_whole(seed: int, sees_whole: bool) -> None:
    image, boxes = scene(seed)

    def detect(images: list[np.ndarray]) -> list[Detections]:
        return [squares(each) if sees_whole or each.shape != image.shape else found() for each in images]

    result = detect_tiled(image, detect, tile=96, overlap=0.25, batch_size=3)
    if not sees_whole:  # nothing to hold masks of an empty whole image: put it aside
        result = Detections(result.boxes, result.scores, result.labels, result.names)
    order = np.argsort(result.scores)
    np.testing.assert_array_equal(result.boxes[order], boxes)
    if sees_whole:
        masks = np.asarray(result.masks)[order]
        for number, mask in enumerate(masks, 1):
            np.testing.assert_array_equal(mask, image[..., 0] == number)


def test_detect_tiled__asks_for_the_whole_and_for_batches_of_tiles() -> None:
    asked = []

    def detect(images: list[np.ndarray]) -> list[Detections]:
        asked.append([image.shape[:2] for image in images])
        return [found() for _ in images]

    detect_tiled(np.zeros((100, 170, 3), np.uint8), detect, 64, 0.25, batch_size=4)
    assert asked[0] == [(100, 170)]
    assert [len(each) for each in asked[1:]] == [4, 4]
    assert {size for each in asked[1:] for size in each} == {(64, 64)}
    asked.clear()
    detect_tiled(np.zeros((60, 50, 3), np.uint8), detect, 64)
    assert asked == [[(60, 50)]]


def test_concatenate__keeps_the_order() -> None:
    joined = concatenate([found((0, 0, 1, 1, 0.1, 0)), found(), found((0, 0, 2, 2, 0.9, 2))])
    assert joined.names == ('name 0', 'name 2')
    assert joined.masks is None
