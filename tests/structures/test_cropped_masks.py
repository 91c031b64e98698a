"""Cropped masks against whole ones."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from fgdet.structures.cropped_masks import CroppedMasks, join_masks
from fgdet.structures.detections import Detections, encode_masks


def _masks(seed: int = 0, size_hw: tuple[int, int] = (13, 17)) -> np.ndarray:
    """Some masks at the borders, some full, one empty."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((6, *size_hw), dtype=bool)
    for mask in masks[:4]:
        y, x = rng.integers(0, 9, 2)
        mask[y : y + 5, x : x + 8] = rng.random(mask[y : y + 5, x : x + 8].shape) > 0.4
    masks[4] = True
    return masks


def test_cropped__is_the_whole_mask_again() -> None:
    masks = _masks()
    cropped = CroppedMasks.from_masks(masks)
    assert cropped.shape == masks.shape
    np.testing.assert_array_equal(np.asarray(cropped), masks)
    np.testing.assert_array_equal(cropped[3], masks[3])
    np.testing.assert_array_equal(np.asarray(cropped[np.array([4, 1])]), masks[[4, 1]])
    np.testing.assert_array_equal(np.asarray(cropped[np.array([], dtype=int)]), masks[:0])
    assert CroppedMasks.from_masks(masks[:0]).shape == (0, 13, 17)


@pytest.mark.filterwarnings('ignore:__array__')  # of pycocotools itself
def test_encode__cropped_and_whole_are_the_same_run_lengths() -> None:
    masks = _masks(1)
    encoded = encode_masks(CroppedMasks.from_masks(masks))
    assert encoded == encode_masks(masks)
    np.testing.assert_array_equal(np.stack([mask_utils.decode(each) for each in encoded]), masks)


def test_placed_and_joined__as_on_whole_masks() -> None:
    masks = _masks(2)
    placed = CroppedMasks.from_masks(masks).placed((20, 5), (30, 40))
    expected = np.zeros((6, 30, 40), dtype=bool)
    expected[:, 5:18, 20:37] = masks
    np.testing.assert_array_equal(np.asarray(placed), expected)
    joined = join_masks(placed, [[0, 1, 5], [5], [4]])
    np.testing.assert_array_equal(np.asarray(joined), [expected[[0, 1, 5]].any(axis=0), expected[5], expected[4]])


def test_resized__a_rectangle_stays_one() -> None:
    masks = np.zeros((1, 10, 20), dtype=bool)
    masks[0, 2:6, 5:15] = True
    larger = np.asarray(CroppedMasks.from_masks(masks).resized((30, 50)))
    expected = np.zeros((30, 50), dtype=bool)
    expected[6:18, 12:38] = True  # 12.5 and 37.5 rounded to even
    np.testing.assert_array_equal(larger[0], expected)


def test_detections__resized_boxes_and_masks_go_together() -> None:
    masks = np.zeros((2, 10, 20), dtype=bool)
    masks[0, 2:6, 5:15] = True
    found = Detections([[5, 2, 15, 6], [0, 0, 1, 1]], [0.5, 0.4], [0, 0], ['a', 'a'], masks)
    resized = found.resized((10, 20), (40, 40))
    np.testing.assert_array_equal(resized.boxes, [[10, 8, 30, 24], [0, 0, 2, 4]])
    np.testing.assert_array_equal(np.asarray(resized.masks)[0, 8:24, 10:30], np.ones((16, 20)))
    assert np.asarray(resized.masks).sum() == 16 * 20
    assert len(resized.filter(np.array([0.6, 0.1]))) == 1
