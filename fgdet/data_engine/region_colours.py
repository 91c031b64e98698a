"""Names of the colours of regions, measured from pixels and only where they are clear.

Axes: H W height and width in pixels, C named colours.
"""

from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]

#: In the order of the masks. Between the classes are gaps: what lies there has no name.
COLOURS = ('black', 'white', 'red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink', 'brown')
#: Share of a region's inner pixels that have one name.
_LEAST_SHARE = 0.6
#: Of what is around the region: above it the name may be the background's.
_MOST_AROUND = 0.25
_LEAST_PIXELS = 400
#: Mean brightness around a region, 0..1, from which it can be called black: in the dark all things are.
_LEAST_LIGHT = 0.3
#: Things with a surface of their own colour that fills most of their box. People are not: theirs is their clothes';
#: nor food, nor vessels and tables, which show what is in or on them, nor screens, nor bags, which people stand before.
_COLOURED = """airplane,apple,armchair,backpack,balloon,banana,bear,bed,bench,bird,blanket,boat,bus,car,cat,
    chair,couch,cow,cushion,dog,door,fire hydrant,frisbee,helmet,horse,kite,microwave,oven,pillow,
    refrigerator,rug,skateboard,snowboard,sofa,sports ball,suitcase,surfboard,teddy bear,tie,towel,train,truck,
    umbrella,van"""
COLOURED = frozenset(name.strip() for name in _COLOURED.split(','))


def colour_classes(pixels: np.ndarray) -> np.ndarray:
    """Return which named colours the pixels have.

    Args:
        pixels: (H, W, 3) uint8, RGB.

    Returns:
        (C, H, W) bool in the order of :data:`COLOURS`; a pixel is of one or none.
    """
    rgb = pixels.astype(np.float32) / 255
    value, least = rgb.max(-1), rgb.min(-1)  # (H, W)
    spread = value - least
    saturation = spread / np.maximum(value, 1e-6)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    safe = np.maximum(spread, 1e-6)
    hue = np.where(
        value == red,
        (green - blue) / safe % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = hue * 60  # degrees
    vivid = (saturation > 0.5) & (value > 0.3)
    is_warm = (hue < 12) | (hue > 345)
    return np.stack(
        [
            (value < 0.2) & (spread < 0.08),
            (saturation < 0.12) & (value > 0.8),
            vivid & is_warm & (saturation > 0.6),
            vivid & (hue > 18) & (hue < 38) & (value > 0.75) & (saturation > 0.65),
            vivid & (hue > 46) & (hue < 64) & (value > 0.6),
            (saturation > 0.3) & (value > 0.2) & (hue > 80) & (hue < 160),
            (saturation > 0.35) & (value > 0.25) & (hue > 195) & (hue < 250),
            (saturation > 0.35) & (value > 0.25) & (hue > 265) & (hue < 295),
            (saturation > 0.2) & (saturation < 0.55) & (value > 0.75) & ((hue > 320) | (hue < 6)),
            (saturation > 0.35) & (value > 0.2) & (value < 0.6) & (hue > 12) & (hue < 38),
        ]
    )


def name_colours(pixels: np.ndarray, boxes: Sequence[Box], wanted: Sequence[bool] | None = None) -> list[str | None]:
    """Return the colour of each region, where one name holds for most of its inside and for little around it.

    The inside is the middle half of the box in both directions, without what belongs to smaller boxes upon it. Of a
    thing with holes, such as a bicycle on grass, the inside shows the background; its colour is then around the box
    as well, and no name is given.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        boxes: x1, y1, x2, y2 in these pixels; they may reach beyond the edges.
        wanted: whose colour is asked for; the others get None. None wants all.
    """
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes]
    names: list[str | None] = []
    for box, area, is_wanted in zip(boxes, areas, wanted or [True] * len(boxes), strict=True):
        smaller = [other for other, size in zip(boxes, areas, strict=True) if size < area]
        names.append(_colour(pixels, box, smaller) if is_wanted else None)
    return names


def _colour(pixels: np.ndarray, box: Box, smaller: Sequence[Box]) -> str | None:
    """The colour of one region, or None where it is not clear."""
    left, top, right, bottom = (max(0, round(value)) for value in _scaled(box, 1.3))
    window = pixels[top:bottom, left:right]

    def mask(area: Box) -> np.ndarray:
        found = np.zeros(window.shape[:2], bool)
        x1, x2 = (max(0, round(value) - left) for value in area[::2])
        y1, y2 = (max(0, round(value) - top) for value in area[1::2])
        found[y1:y2, x1:x2] = True
        return found

    inner, around = mask(_scaled(box, 0.5)), ~mask(box)
    for other in smaller:
        inner &= ~mask(other)
    if inner.sum() < _LEAST_PIXELS or not around.any():
        return None
    shares = colour_classes(window[inner][None])[:, 0].mean(1)
    best = int(shares.argmax())
    outside = window[around][None]
    if shares[best] < _LEAST_SHARE or colour_classes(outside)[best].mean() > _MOST_AROUND:
        return None
    is_dark = COLOURS[best] == 'black' and outside.max(-1).mean() / 255 < _LEAST_LIGHT
    return None if is_dark else COLOURS[best]


def _scaled(box: Box, factor: float) -> Box:
    x1, y1, x2, y2 = box
    x, y, width, height = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) * factor / 2, (y2 - y1) * factor / 2
    return x - width, y - height, x + width, y + height
