"""Pixels of the shapes world: textured backgrounds, patterned silhouettes, and how one is laid on the other.

Everything is drawn from the random generator that the caller passes, with numpy and OpenCV only, so a scene costs about
a millisecond. Axes: H W image, h w stamp (the small patch that holds one object), 3 RGB.
"""

import colorsys
import functools
import math
from typing import NamedTuple

import cv2
import numpy as np

#: Hue in degrees, saturation and value of every colour; neighbouring hues are at least 25 degrees apart.
COLOUR_HSV = {
    'red': (0, 0.90, 0.90),
    'orange': (28, 0.95, 1.00),
    'yellow': (55, 0.85, 1.00),
    'green': (125, 0.85, 0.72),
    'cyan': (180, 0.80, 0.95),
    'blue': (224, 0.85, 0.95),
    'purple': (276, 0.80, 0.80),
    'pink': (326, 0.48, 1.00),
}
COLOURS = tuple(COLOUR_HSV)
PATTERNS = ('solid', 'striped', 'dotted')
SHAPES = ('circle', 'square', 'triangle', 'star', 'ring', 'cross')

#: Mean grey level (0 to 255) of each background tone; even the dark one lets a black outline be seen.
TONE_LEVELS = {'dark': 85, 'grey': 140, 'pale': 200}
TEXTURES = ('cloudy', 'graded', 'brushed', 'grainy')

SUPERSAMPLING = 4  # sub-pixels per pixel edge: coverage is known to 1/16
MAX_ROTATION = 8.0  # degrees: edges keep their direction, by which a small model tells squares from circles
MAX_STRETCH = 1.15  # width over height, either way
OUTLINE_GREY = np.float32(18)  # one tone for all colours: an edge looks alike whatever it parts
WIDE_OUTLINE_FROM = 34  # pixels of extent: from there on the outline is two pixels wide, below it is one
NUM_FIELDS = 24  # smooth noise fields that backgrounds are cropped from

_NARROW_KERNEL = np.ones((3, 3), np.uint8)
_WIDE_KERNEL = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


class Background(NamedTuple):
    """A canvas of shape (H, W, 3), float32 in 0..255, and the two words that describe it."""

    pixels: np.ndarray
    tone: str
    texture: str


class Stamp(NamedTuple):
    """One object on its own.

    Attributes:
        pixels: (h, w, 3) float32 in 0..255.
        coverage: (h, w, 1) float32 in 0..1, the soft edge.
        mask: (h, w) bool, the pixels of which the object covers at least half.
    """

    pixels: np.ndarray
    coverage: np.ndarray
    mask: np.ndarray


def draw_background(rng: np.random.Generator, size: int) -> Background:
    """Draw a muted texture with clutter on it: lines, specks and blobs that are no objects.

    Args:
        rng: source of all choices.
        size: edge of the square image in pixels.

    Returns:
        the canvas (size, size, 3) and its description.
    """
    tone = list(TONE_LEVELS)[rng.integers(len(TONE_LEVELS))]
    texture = TEXTURES[rng.integers(len(TEXTURES))]
    tint, spread = rng.uniform(-8, 8, (2, 3)).astype(np.float32)
    spread += np.float32(rng.uniform(16, 40))
    pixels = (_texture(rng, texture, size)[..., None] - np.float32(0.5)) * spread  # (H, W, 3)
    pixels += TONE_LEVELS[tone] + tint
    _draw_clutter(rng, pixels, TONE_LEVELS[tone])
    return Background(pixels, tone, texture)


def draw_stamp(rng: np.random.Generator, colour: str, pattern: str, shape: str, extent: float) -> Stamp:
    """Draw one object: a rotated, stretched, outlined silhouette filled with one or two shades of its colour.

    Args:
        rng: source of rotation, stretch, sub-pixel position, colour jitter and pattern phase.
        colour: a key of :data:`COLOUR_HSV`.
        pattern: one of :data:`PATTERNS`.
        shape: one of :data:`SHAPES`.
        extent: longer edge of the silhouette's box in pixels.

    Returns:
        the stamp, at most ``extent + 2`` pixels on either edge.
    """
    angle = np.deg2rad(rng.uniform(-MAX_ROTATION, MAX_ROTATION))
    stretch = MAX_STRETCH ** rng.uniform(-1, 1)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    contours = [contour @ rotation * (stretch, 1) for contour in _outline(shape)]
    low = contours[0].min(axis=0)  # the first contour is the outer one
    scale = extent / (contours[0].max(axis=0) - low).max()
    contours = [(contour - low) * scale + rng.uniform(0, 1, 2) for contour in contours]
    coverage = _coverage(contours)

    kernel = _NARROW_KERNEL if extent < WIDE_OUTLINE_FROM else _WIDE_KERNEL
    inner = cv2.erode(coverage, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)[..., None]
    main, shade = _shades(rng, colour, pattern)
    amount = _pattern(rng, pattern, coverage.shape, angle, period=min(max(0.2 * extent, 7.0), 9.0))[..., None]
    pixels = OUTLINE_GREY + inner * (main + amount * (shade - main) - OUTLINE_GREY)
    return Stamp(pixels, coverage[..., None], coverage >= 0.5)


def paste(canvas: np.ndarray, stamp: Stamp, x: int, y: int) -> None:
    """Blend a stamp into ``canvas`` (H, W, 3), in place, with its top left pixel at column ``x``, row ``y``."""
    h, w = stamp.mask.shape
    target = canvas[y : y + h, x : x + w]
    target += stamp.coverage * (stamp.pixels - target)


def develop(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Add what a camera adds, gain, colour cast and grain, and round to uint8 (H, W, 3)."""
    gain = rng.uniform(0.9, 1.08) * rng.uniform(0.97, 1.03, 3)
    grain = _crop(rng, _grain_field(canvas.shape[0]), canvas.shape[0])[..., None]
    pixels = canvas * gain.astype(np.float32)
    pixels += np.float32(rng.uniform(1, 5)) * grain + np.float32(0.5)
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


def _polygon(num_points: int, start_degrees: float = -90.0) -> np.ndarray:
    angles = np.deg2rad(start_degrees + np.arange(num_points) * 360 / num_points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (P, 2), x to the right, y down


@functools.cache
def _outline(shape: str) -> tuple[np.ndarray, ...]:
    """Closed contours (P, 2) of an upright silhouette in no particular unit; a second contour is a hole."""
    if shape == 'circle':
        return (_polygon(48),)
    if shape == 'square':
        return (_polygon(4, start_degrees=-45),)
    if shape == 'triangle':
        return (_polygon(3),)
    if shape == 'star':
        return (_polygon(10) * np.where(np.arange(10) % 2, 0.44, 1.0)[:, None],)
    if shape == 'ring':
        return _polygon(48), _polygon(48) * 0.50
    if shape == 'cross':
        arm = 0.34  # half the width of a bar, of a cross that reaches from -1 to 1
        corner = np.array([(arm, -1), (arm, -arm), (1, -arm)])
        turn = np.array([(0, 1), (-1, 0)])  # a quarter turn
        return (np.concatenate([corner @ np.linalg.matrix_power(turn, k) for k in range(4)]),)
    raise ValueError(f'shape: expected one of {", ".join(SHAPES)}, got {shape!r}')


def _coverage(contours: list[np.ndarray]) -> np.ndarray:
    """Share of every pixel that lies inside the contours (even-odd rule), (h, w) float32 in 0..1."""
    w, h = np.ceil(contours[0].max(axis=0)).astype(int)
    fine = np.zeros((h * SUPERSAMPLING, w * SUPERSAMPLING), np.uint8)
    # OpenCV puts integer coordinates on pixel centres, ours lie on pixel corners.
    cv2.fillPoly(fine, [np.rint(contour * SUPERSAMPLING - 0.5).astype(np.int32) for contour in contours], 255)
    return cv2.resize(fine, (int(w), int(h)), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _shades(rng: np.random.Generator, colour: str, pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """The jittered colour and the shade its pattern is drawn in, both (3,) float32 RGB in 0..255: dots are lighter."""
    hue, saturation, value = COLOUR_HSV[colour]
    rgb = colorsys.hsv_to_rgb(
        (hue + rng.uniform(-5, 5)) % 360 / 360, saturation * rng.uniform(0.9, 1.05), value * rng.uniform(0.88, 1.0)
    )
    main = 255 * np.clip(rgb, 0, 1).astype(np.float32)
    if pattern == 'dotted':
        return main, main + np.float32(rng.uniform(0.65, 0.8)) * (255 - main)
    return main, main * np.float32(rng.uniform(0.30, 0.42))


def _pattern(
    rng: np.random.Generator, pattern: str, shape_hw: tuple[int, ...], angle: float, period: float
) -> np.ndarray:
    """How much of the second shade every pixel takes, (h, w) float32 in 0..1.

    Args:
        rng: source of the phase.
        pattern: one of :data:`PATTERNS`.
        shape_hw: size of the stamp.
        angle: rotation of the object in radians, which its pattern, diagonal when upright, follows.
        period: of the pattern in pixels.
    """
    if pattern == 'solid':
        return np.zeros(shape_hw, np.float32)
    rows = np.arange(shape_hw[0], dtype=np.float32)[:, None]
    columns = np.arange(shape_hw[1], dtype=np.float32)
    phase_u, phase_v = rng.uniform(0, 1, 2).tolist()
    cos, sin = math.cos(math.pi / 4 - angle) / period, math.sin(math.pi / 4 - angle) / period
    u = cos * columns + (sin * rows + phase_u)
    if pattern == 'striped':
        # Slope of the sine at its zero is 2 pi / period a pixel: the factor makes an edge one pixel wide.
        return np.clip(0.5 + np.sin(2 * math.pi * u) * (period / (2 * math.pi)), 0, 1)
    if pattern == 'dotted':
        v = (cos * rows + phase_v) - sin * columns
        u += 0.5 * (np.floor(v) % 2)  # every second row is shifted by half a step
        distance = period * np.hypot(u - np.floor(u) - 0.5, v - np.floor(v) - 0.5)
        return np.clip(0.33 * period - distance + 0.5, 0, 1)
    raise ValueError(f'pattern: expected one of {", ".join(PATTERNS)}, got {pattern!r}')


def _texture(rng: np.random.Generator, texture: str, size: int) -> np.ndarray:
    """A field (H, W) float32 around 0..1 in the manner of ``texture``."""
    cloud = _crop(rng, _cloud_fields(size)[rng.integers(NUM_FIELDS)], size)
    if texture == 'cloudy':
        return cloud
    if texture == 'graded':
        angle = rng.uniform(0, 2 * math.pi)
        along = np.linspace(-0.45, 0.45, size, dtype=np.float32)
        ramp = 0.5 + math.cos(angle) * along + (math.sin(angle) * along)[:, None]
        return ramp + 0.25 * (cloud - 0.5)
    if texture == 'brushed':
        brushed = _crop(rng, _brushed_field(size), size)
        return (brushed if rng.random() < 0.5 else brushed.T) * 0.7 + 0.3 * cloud
    return cloud * 0.6 + 0.2 + 0.18 * _crop(rng, _grain_field(size), size)


def _draw_clutter(rng: np.random.Generator, pixels: np.ndarray, level: int) -> None:
    """Scatter muted lines, specks and blobs over ``pixels``, in place."""
    size = pixels.shape[0]
    for kind in rng.integers(0, 3, rng.integers(4, 11)):
        away = 1 if level < 100 or (level < 150 and rng.random() < 0.5) else -1
        grey = tuple((level + away * rng.uniform(18, 55) + rng.uniform(-6, 6, 3)).tolist())
        x, y = rng.integers(0, size, 2).tolist()
        if kind == 0:
            dx, dy = rng.integers(-size // 3, size // 3 + 1, 2).tolist()
            cv2.line(pixels, (x, y), (x + dx, y + dy), grey, 1)
        elif kind == 1:
            cv2.circle(pixels, (x, y), int(rng.integers(1, 3)), grey, -1)
        else:
            axes = tuple(rng.integers(2, 6, 2).tolist())
            cv2.ellipse(pixels, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, grey, -1)


def _crop(rng: np.random.Generator, field: np.ndarray, size: int) -> np.ndarray:
    """A random (size, size) window of a (2 size, 2 size) field, mirrored at random (a view)."""
    x, y, flip_x, flip_y = rng.integers(0, (size + 1, size + 1, 2, 2)).tolist()
    return field[y : y + size, x : x + size][:: 1 - 2 * flip_y, :: 1 - 2 * flip_x]


# The three kinds of noise are made once for an image size, from their own fixed seed, and then only cropped.


@functools.cache
def _cloud_fields(size: int) -> np.ndarray:
    """Smooth noise of two scales, (NUM_FIELDS, 2 size, 2 size) float32 in 0..1."""
    rng = np.random.default_rng(1)
    fields = []
    for _ in range(NUM_FIELDS):
        coarse, fine = (
            cv2.resize(rng.random((n, n), dtype=np.float32), (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC)
            for n in (7, 23)
        )
        fields.append(_stretched(0.7 * coarse + 0.3 * fine))
    return np.stack(fields)


@functools.cache
def _brushed_field(size: int) -> np.ndarray:
    """Noise smeared along the rows, (2 size, 2 size) float32 in 0..1."""
    noise = np.random.default_rng(2).random((2 * size, 2 * size), dtype=np.float32)
    return _stretched(cv2.GaussianBlur(noise, (31, 1), sigmaX=8))


@functools.cache
def _grain_field(size: int) -> np.ndarray:
    """White noise of unit deviation, (2 size, 2 size) float32."""
    return np.random.default_rng(3).standard_normal((2 * size, 2 * size), dtype=np.float32)


def _stretched(field: np.ndarray) -> np.ndarray:
    return (field - field.min()) / (field.max() - field.min())
