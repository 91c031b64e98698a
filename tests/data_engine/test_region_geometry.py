"""Shapes worked out by hand, and masks as pycocotools decodes them."""

import numpy as np
import pytest
import shapely
from pycocotools import mask as run_lengths

from fgdet.data_engine.region_geometry import (
    RegionRules,
    area_of,
    box_of,
    box_of_annotation,
    clipped,
    containment,
    filled_share,
    shape_of,
    shape_of_mask,
    union_box,
    visible_part,
)

# A square with a corner missing: 4 x 4 without the upper right 2 x 2.
ELL = [[0, 0, 2, 0, 2, 2, 4, 2, 4, 4, 0, 4]]


def test_shape_of__polygons_worked_by_hand() -> None:
    assert shape_of(ELL).area == 12
    assert box_of(shape_of(ELL)) == (0, 0, 4, 4)
    two = shape_of([[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 5, 1, 5, 3, 1, 3]])  # they share 1
    assert two.area == 4 + 8 - 1
    bow_tie = shape_of([[0, 0, 4, 4, 4, 0, 0, 4]])  # two triangles of 4 each
    assert bow_tie.area == 8
    for nothing in ([], [[1, 1, 2, 2]], [[1, 1, 5, 1, 9, 1]]):
        assert box_of(shape_of(nothing)) is None
    for bad in ('no', [[1, 2, 3]], {'size': [2, 2]}):
        with pytest.raises(ValueError, match='expected polygons'):
            shape_of(bad)


def test_shape_of__run_lengths_are_their_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        mask = rng.random((9, 13)) < 0.4
        mask[:, :2] = mask[:3] = False
        encoded = run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))
        shape = shape_of(encoded)
        assert shape.area == mask.sum() == run_lengths.area(encoded)
        x, y, w, h = run_lengths.toBbox(encoded)
        assert box_of(shape) == (x, y, x + w, y + h)
        centres = shapely.points(*np.meshgrid(np.arange(13) + 0.5, np.arange(9) + 0.5))
        np.testing.assert_array_equal(shapely.contains(shape, centres), mask)
    counts = [0, 2, 3, 1]  # column by column: (0,0), (1,0) and (1,2) of 2 rows and 3 columns
    assert shape_of({'size': [2, 3], 'counts': counts}).area == 3
    assert shape_of_mask(np.zeros((3, 3))).area == 0


def test_visible_part__of_a_cropped_polygon() -> None:
    part, share = visible_part(shape_of(ELL), (1, 1, 9, 9))  # cut to x, y >= 1: 1 x 1 above 3 x 2
    assert (part.area, share) == (7, 7 / 12)
    assert box_of(part) == (1, 1, 4, 4)
    assert visible_part(shape_of(ELL), (2, 0, 4, 2))[1] == 0  # the missing corner
    assert visible_part(shape_of([]), (0, 0, 9, 9))[1] == 0


def test_containment__is_a_share_of_the_inner_one() -> None:
    inner, outer = shapely.box(0, 0, 2, 2), shapely.box(1, 0, 11, 10)
    assert containment(inner, outer) == 0.5
    assert containment(outer, inner) == 2 / 100
    assert containment(shape_of([]), outer) == 0


def test_boxes__clipped_joined_and_measured() -> None:
    assert clipped((-5, 2, 30, 8), (0, 0, 20, 6)) == (0, 2, 20, 6)
    assert area_of(clipped((30, 30, 40, 40), (0, 0, 20, 20))) == 0
    assert union_box([(3, 4, 5, 6), (1, 5, 2, 9)]) == (1, 4, 5, 9)


def test_filled_share__counts_what_boxes_share_once() -> None:
    assert filled_share([(0, 0, 2, 2), (1, 1, 3, 3)]) == 7 / 9
    assert filled_share([(4, 4, 4, 9)]) == 0


def test_box_of_annotation__the_seen_part_of_its_polygon_before_its_box() -> None:
    assert box_of_annotation({'bbox': [-4, 0, 8, 4]}, 20, 20) == ((0, 0, 4, 4), 0.5)
    loose = {'bbox': [0, 0, 9, 9], 'segmentation': ELL}
    assert box_of_annotation(loose, 20, 20) == ((0, 0, 4, 4), 1)
    assert box_of_annotation(loose, 2, 20) == ((0, 0, 2, 4), 8 / 12)
    assert box_of_annotation({'bbox': [3, 3, 0, 5]}, 20, 20)[1] == 0


def test_rules__small_and_whole_image() -> None:
    rules = RegionRules(smallest_side=8, whole_image=0.9)
    assert rules.broken_by((0, 0, 7.9, 50), 100, 100) == 'small'
    assert rules.broken_by((0, 0, 8, 8), 100, 100) is None
    assert rules.broken_by((0, 0, 100, 90), 100, 100) == 'whole_image'
    assert rules.broken_by((0, 0, 100, 89.9), 100, 100) is None
