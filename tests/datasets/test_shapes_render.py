"""Silhouettes, patterns and colours are what their names say, checked on the drawn pixels."""

import colorsys

import cv2
import numpy as np
import pytest

from fgdet.datasets import shapes_render as render


def _stamps(colour: str, pattern: str, shape: str, extent: float, num: int = 20) -> list[render.Stamp]:
    return [render.draw_stamp(np.random.default_rng(seed), colour, pattern, shape, extent) for seed in range(num)]


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize('shape', render.SHAPES)
@pytest.mark.parametrize('extent', [24, 37.5, 52])
def test_draw_stamp__longer_edge_is_the_extent(shape, extent):
    for stamp in _stamps('red', 'solid', shape, extent):
        x1, y1, x2, y2 = _box(stamp.mask)
        assert abs(max(x2 - x1, y2 - y1) - extent) <= 2  # a sharp tip covers less than half of its last pixel
        assert max(stamp.mask.shape) <= extent + 2


# Area over the area of the box: pi / 4 for a circle, whatever the stretch, and the ring lacks a disc of half its size.
@pytest.mark.parametrize(('shape', 'share'), [('circle', np.pi / 4), ('ring', np.pi / 4 * (1 - 0.5**2))])
def test_draw_stamp__area_of_ellipses(shape, share):
    for stamp in _stamps('red', 'solid', shape, 52):
        x1, y1, x2, y2 = _box(stamp.coverage[..., 0] > 0.02)
        assert stamp.coverage.sum() / ((x2 - x1 - 0.5) * (y2 - y1 - 0.5)) == pytest.approx(share, rel=0.06)


def _rectangle_coverage(x1: float, y1: float, x2: float, y2: float, size_hw: tuple[int, int]) -> np.ndarray:
    """Exact share of every pixel that the rectangle covers: the product of two overlaps of intervals."""
    rows, columns = (np.arange(size) for size in size_hw)
    in_row = np.clip(np.minimum(rows + 1, y2) - np.maximum(rows, y1), 0, 1)
    in_column = np.clip(np.minimum(columns + 1, x2) - np.maximum(columns, x1), 0, 1)
    return np.outer(in_row, in_column)


def test_coverage__rectangle_with_fractional_edges():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x1, y1, x2, y2 = (*rng.uniform(0, 3, 2), *rng.uniform(5, 12, 2))
        coverage = render._coverage([np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])])
        low = _rectangle_coverage(x1 + 0.125, y1 + 0.125, x2 - 0.125, y2 - 0.125, coverage.shape)
        high = _rectangle_coverage(x1 - 0.25, y1 - 0.25, x2 + 0.25, y2 + 0.25, coverage.shape)
        # An edge is rounded to a sub-pixel, a quarter of a pixel wide, and OpenCV fills the outline as well.
        assert (low - 0.01 <= coverage).all() and (coverage <= high + 0.01).all()


@pytest.mark.parametrize(
    ('shape', 'filled_centre', 'most_corners'),
    [('circle', True, 0), ('square', True, 4), ('triangle', True, 2), ('star', True, 0), ('ring', False, 0)],
)
def test_draw_stamp__centre_and_corners(shape, filled_centre, most_corners):
    for stamp in _stamps('blue', 'solid', shape, 48):
        x1, y1, x2, y2 = _box(stamp.mask)
        assert stamp.mask[(y1 + y2) // 2, (x1 + x2) // 2] == filled_centre
        edge = max(2, (x2 - x1) // 10)
        inside = stamp.mask[y1:y2, x1:x2]
        corners = [inside[:edge, :edge], inside[:edge, -edge:], inside[-edge:, :edge], inside[-edge:, -edge:]]
        assert sum(corner.any() for corner in corners) <= most_corners


def _num_arms(mask: np.ndarray, share: float) -> int:
    """Into how many arcs an ellipse around the centre of gravity, ``share`` of the box in radius, is cut."""
    x1, y1, x2, y2 = _box(mask)
    rows, columns = np.nonzero(mask)
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    y = (rows.mean() + share * (y2 - y1) * np.sin(angles)).astype(np.float32)
    x = (columns.mean() + share * (x2 - x1) * np.cos(angles)).astype(np.float32)
    values = cv2.remap(mask.astype(np.float32), x, y, cv2.INTER_LINEAR).ravel()
    window = 2 * 12 + 1  # twelve degrees: narrower than an arm or a gap, wider than the steps of its edge
    smooth = np.convolve(np.concatenate([values[-12:], values, values[:12]]), np.ones(window) / window, mode='valid')
    on_ellipse = smooth > 0.5
    return int((on_ellipse & ~np.roll(on_ellipse, 1)).sum())


@pytest.mark.parametrize(('shape', 'num_arms', 'share'), [('star', 5, 0.34), ('cross', 4, 0.40)])
def test_draw_stamp__number_of_arms(shape, num_arms, share):
    found = [_num_arms(stamp.mask, share) for stamp in _stamps('blue', 'solid', shape, 52)]
    assert found == [num_arms] * len(found)


@pytest.mark.parametrize('colour', render.COLOURS)
@pytest.mark.parametrize('pattern', render.PATTERNS)
def test_draw_stamp__hue_is_nearest_to_its_colour(colour, pattern):
    for stamp in _stamps(colour, pattern, 'square', 40):
        rgb = stamp.pixels[stamp.coverage[..., 0] == 1].mean(axis=0) / 255
        hue = colorsys.rgb_to_hsv(*rgb)[0] * 360
        distance = {name: abs((hue - hsv[0] + 180) % 360 - 180) for name, hsv in render.COLOUR_HSV.items()}
        assert min(distance, key=lambda name: distance[name]) == colour


def _coherence(grey: np.ndarray) -> float:
    """Of the structure tensor: 1 where all gradients are parallel, as of stripes, 0 where no direction is preferred."""
    dy, dx = np.gradient(grey)
    tensor = np.array([[(dx * dx).sum(), (dx * dy).sum()], [(dx * dy).sum(), (dy * dy).sum()]])
    low, high = np.linalg.eigvalsh(tensor)
    return (high - low) / (high + low)


def test_draw_stamp__patterns_differ_in_structure():
    for pattern, low, high in (('striped', 0.85, 1.0), ('dotted', 0.0, 0.5)):
        for stamp in _stamps('green', pattern, 'square', 52):
            grey = stamp.pixels[14:-14, 14:-14].mean(axis=-1)
            assert low <= _coherence(grey) <= high
    for stamp in _stamps('green', 'solid', 'square', 52):
        assert np.ptp(stamp.pixels[14:-14, 14:-14], axis=(0, 1)).max() == 0


@pytest.mark.parametrize(('field', 'pattern', 'shape'), [('shape', 'solid', 'cube'), ('pattern', 'plaid', 'ring')])
def test_draw_stamp__unknown_names(field, pattern, shape):
    with pytest.raises(ValueError, match=rf'{field}: expected one of .*, got'):
        render.draw_stamp(np.random.default_rng(0), 'red', pattern, shape, 30)


def test_paste__naive_loop():
    stamp = render.draw_stamp(np.random.default_rng(0), 'cyan', 'dotted', 'star', 24)
    canvas = np.random.default_rng(1).uniform(0, 255, (40, 50, 3)).astype(np.float32)
    expected = canvas.copy()
    for row in range(stamp.mask.shape[0]):
        for column in range(stamp.mask.shape[1]):
            share = stamp.coverage[row, column, 0]
            old = expected[row + 7, column + 11]
            expected[row + 7, column + 11] = share * stamp.pixels[row, column] + (1 - share) * old
    render.paste(canvas, stamp, x=11, y=7)
    np.testing.assert_allclose(canvas, expected, atol=1e-3)


def test_draw_background__muted_and_as_bright_as_its_tone():
    levels: dict[str, list[float]] = {tone: [] for tone in render.TONE_LEVELS}
    textures = set()
    for seed in range(60):
        background = render.draw_background(np.random.default_rng(seed), 64)
        assert background.pixels.shape == (64, 64, 3)
        assert np.ptp(background.pixels, axis=-1).max() < 48  # the channels agree: close to grey everywhere
        levels[background.tone].append(background.pixels.mean())
        textures.add(background.texture)
    assert max(levels['dark']) < min(levels['grey']) < max(levels['grey']) < min(levels['pale'])
    assert textures == set(render.TEXTURES)


def test_draw_background__no_two_alike():
    backgrounds = [render.draw_background(np.random.default_rng(seed), 48).pixels.ravel() for seed in range(40)]
    correlation = np.corrcoef(np.stack(backgrounds)) - np.eye(40)
    assert correlation.max() < 0.98


def test_develop__range_and_grain():
    canvas = np.full((64, 64, 3), 100, np.float32)
    canvas[:4], canvas[4:8] = -30, 300
    image = render.develop(np.random.default_rng(0), canvas)
    assert image.dtype == np.uint8
    assert image[:4].max() == 0 and image[4:8].min() == 255
    assert 80 < image[8:].mean() < 115
    assert 0.5 < image[8:].std(axis=(0, 1)).max() < 8
