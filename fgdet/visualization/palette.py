"""A colour for each class name, derived from the name so that it stays the same from picture to picture."""

import colorsys
import zlib
from collections.abc import Iterable

Color = tuple[int, int, int]

# Hue in degrees, saturation and value: ten bright colours, five deep ones and five pastel ones. Hues are spaced for the
# eye, and only those have a deep tone that do not turn brown or olive by it.
_BRIGHT = [(hue, 0.85, 1.0) for hue in (0, 28, 50, 80, 130, 168, 190, 212, 265, 310)]
_DEEP = [(345, 0.9, 0.55), (140, 0.9, 0.48), (185, 0.95, 0.5), (230, 0.85, 0.7), (285, 0.8, 0.55)]
_PASTEL = [(hue, 0.35, 1.0) for hue in (10, 45, 120, 205, 290)]

#: 20 colours as RGB in 0..255.
PALETTE: tuple[Color, ...] = tuple(
    tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue / 360, saturation, value))  # type: ignore[misc]
    for hue, saturation, value in (*_BRIGHT, *_DEEP, *_PASTEL)
)


def name_colors(names: Iterable[str]) -> dict[str, Color]:
    """Return one colour of ``PALETTE`` for each distinct name: distinct for up to 20 names.

    A name's colour follows from its letters. Where two names of one call would share it, the later in alphabetical
    order takes the next free one; the same names in any order get the same colours.
    """
    colors: dict[str, Color] = {}
    taken: set[int] = set()
    for name in sorted(set(names)):
        index = zlib.crc32(name.encode('utf-8', 'replace')) % len(PALETTE)
        while index in taken and len(taken) < len(PALETTE):
            index = (index + 1) % len(PALETTE)
        taken.add(index)
        colors[name] = PALETTE[index]
    return colors


def text_color(background: Color) -> Color:
    """Return black or white, whichever reads better on ``background``.

    By the contrast ratio of WCAG 2.1 (relative luminance), black wins above a luminance of 0.179.
    """
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
