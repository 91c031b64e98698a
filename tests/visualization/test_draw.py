import numpy as np
import pytest
from matplotlib import colormaps

from fgdet.structures.detections import Detections
from fgdet.visualization.draw import COLORMAP, draw_detections, draw_heatmap
from fgdet.visualization.palette import name_colors


def _image(height=330, width=400, value=90):
    return np.full((height, width, 3), value, dtype=np.uint8)


def _one(box=(100, 120, 200, 220), name='mug', **fields):
    return Detections([box], [0.5], [0], [name], **fields)


def test_draw_detections__frame_has_the_colour_of_the_name_and_the_rest_is_untouched():
    image = _image()
    drawn = draw_detections(image, _one())
    color = name_colors(['mug'])['mug']
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    for y, x in [(219, 150), (170, 100), (170, 199), (120, 190)]:
        assert tuple(drawn[y, x]) == color
    assert (drawn[130:210, 110:190] == 90).all()  # inside
    changed = np.flatnonzero((drawn != image).any(axis=(1, 2)))
    assert (changed.min(), changed.max()) == (pytest.approx(102, abs=4), 220)  # label above, rim below
    assert (image == 90).all()  # what was given is not drawn on


def test_draw_detections__small_images_are_enlarged_with_their_boxes():
    drawn = draw_detections(_image(96, 64), _one((10, 40, 50, 80)))
    assert drawn.shape == (384, 256, 3)
    assert tuple(drawn[240, 40]) == name_colors(['mug'])['mug']
    assert (drawn[180:300, 60:180] == 90).all()


def test_draw_detections__score_can_be_left_out():
    with_score = draw_detections(_image(), _one())
    without = draw_detections(_image(), _one(), show_scores=False)
    assert (without != 90).any(axis=(0, 2)).sum() <= (with_score != 90).any(axis=(0, 2)).sum()
    assert (with_score != without).any()


def test_draw_detections__color_names_fix_the_colours_of_a_run():
    names = [f'class {index}' for index in range(20)]
    expected = name_colors(names)
    for name in names:
        drawn = draw_detections(_image(), _one(name=name), color_names=names)
        assert tuple(drawn[170, 100]) == expected[name]


def test_draw_detections__masks_tint_their_pixels():
    masks = np.zeros((1, 330, 400), dtype=bool)
    masks[0, 150:180, 130:160] = True
    drawn = draw_detections(_image(), _one(masks=masks))
    expected = 0.6 * 90 + 0.4 * np.array(name_colors(['mug'])['mug'])
    np.testing.assert_allclose(drawn[165, 145], expected, atol=1)
    assert (drawn[190:210, 110:190] == 90).all()


def test_draw_detections__labels_of_small_boxes_on_a_large_image_are_small():
    image = _image(2000, 2000)
    for side, expected in ((40, 14), (120, 36), (900, 52)):  # 0.3 of the box, 0.026 of the image
        boxes = [(500, 900, 500 + side, 900 + side), (1000, 900, 1000 + side, 900 + side)]
        drawn = draw_detections(image, Detections(boxes, [0.5, 0.5], [0, 0], ['mug', 'mug']))
        rows = np.flatnonzero((drawn[:900] != 90).any(axis=(1, 2)))
        assert 900 - rows[0] == pytest.approx(1.45 * expected, abs=0.2 * expected)  # the font's line and its padding


def test_draw_detections__nothing_and_boxes_beyond_the_image():
    image = _image()
    np.testing.assert_array_equal(draw_detections(image, Detections([], [], [], [])), image)
    boxes = [[-50, -50, 1000, 1000], [500, 500, 600, 600], [20, 20, 20, 20], [np.nan, 0, 5, 5]]
    names = ['条纹猫', 'a' * 500, '', 'b\nc']
    assert draw_detections(image, Detections(boxes, [0.1] * 4, range(4), names)).shape == image.shape


@pytest.mark.parametrize(
    'image',
    [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 4), np.uint8)],
)
def test_draw__refuses_other_images(image):
    with pytest.raises(ValueError, match=r'expected \(H, W, 3\) uint8 RGB'):
        draw_detections(image, Detections([], [], [], []))
    with pytest.raises(ValueError, match=r'expected \(H, W, 3\) uint8 RGB'):
        draw_heatmap(image, np.zeros((2, 2)))


def test_draw_detections__refuses_masks_of_another_size():
    with pytest.raises(ValueError, match='masks: expected the size of the image'):
        draw_detections(_image(), _one(masks=np.zeros((1, 4, 4))))


def test_draw_heatmap__colours_follow_the_values():
    similarity = np.array([[0.0, 1.0], [0.5, 0.5]])
    drawn = draw_heatmap(_image(), similarity, opacity=1)
    assert drawn.shape[0] == 330
    for value, (y, x) in {0.0: (0, 0), 1.0: (0, 399), 0.5: (329, 0)}.items():
        np.testing.assert_allclose(drawn[y, x], 255 * np.array(colormaps[COLORMAP](value)[:3]), atol=1.5)


def test_draw_heatmap__colour_bar_runs_from_low_below_to_high_above():
    drawn = draw_heatmap(_image(), np.array([[0.0, 1.0]]), title='red mug')
    bar = drawn[:, 400 + 20]
    rows = np.flatnonzero((bar != 255).any(axis=1))
    np.testing.assert_allclose(bar[rows[3]], 255 * np.array(colormaps[COLORMAP](1.0)[:3]), atol=6)
    np.testing.assert_allclose(bar[rows[-3]], 255 * np.array(colormaps[COLORMAP](0.0)[:3]), atol=6)
    assert drawn.shape[0] > 330  # the title's line


def test_draw_heatmap__opacity_nought_and_unknown_values_show_the_grey_image():
    image = np.random.default_rng(0).integers(0, 255, (330, 400, 1), dtype=np.uint8).repeat(3, axis=2)
    np.testing.assert_array_equal(draw_heatmap(image, np.eye(4), opacity=0)[:, :400], image)
    np.testing.assert_array_equal(draw_heatmap(image, np.full((4, 4), np.nan))[:, :400], image)


def test_draw_heatmap__value_range_clips_and_constant_maps_work():
    clipped = draw_heatmap(_image(), np.array([[-9.0, 9.0]]), value_range=(0, 1), opacity=1)
    np.testing.assert_allclose(clipped[0, 0], 255 * np.array(colormaps[COLORMAP](0.0)[:3]), atol=1)
    np.testing.assert_allclose(clipped[0, 399], 255 * np.array(colormaps[COLORMAP](1.0)[:3]), atol=1)
    constant = draw_heatmap(_image(), np.full((3, 3), 0.25))
    assert (constant[:, :400] == constant[0, 0]).all()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'similarity': np.zeros(4)}, r'similarity: expected shape \(h, w\)'),
        ({'similarity': np.zeros((0, 4))}, 'similarity'),
        ({'similarity': np.zeros((2, 2)), 'opacity': 2}, 'opacity: expected 0..1, got 2'),
        ({'similarity': np.zeros((2, 2)), 'value_range': (1, 0)}, 'value_range: expected low <= high'),
    ],
)
def test_draw_heatmap__refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_heatmap(_image(), **arguments)
