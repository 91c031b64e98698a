"""The part of an image in which a detector was wrong."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

#: Colours of what was detected and of what is there.
DETECTED, TRUTH = (230, 30, 40), (40, 200, 90)
#: The part shown goes beyond the boxes by this share of their longer side, and is at least so many pixels wide.
MARGIN, LEAST_SIDE = 0.3, 48


def draw_mistake(
    image: np.ndarray, detected: Sequence[float] | None, truth: Sequence[float] | None, side: int = 240
) -> np.ndarray:
    """Cut out the boxes with some of what is around them, and draw them.

    Args:
        image: (H, W, 3) uint8 RGB.
        detected: x, y, width, height in pixels of ``image``, drawn red; None: nothing was detected.
        truth: the same for the object, drawn green. Without both the whole image is shown.
        side: the longer side of the picture in pixels.

    Returns:
        (h, w, 3) uint8 RGB, the longer of h and w being ``side``.
    """
    size_wh = np.array([image.shape[1], image.shape[0]])
    shown = [box for box in (detected, truth) if box is not None] or [(0, 0, *size_wh)]
    boxes = np.array(shown, dtype=np.float64)
    boxes[:, 2:] += boxes[:, :2]
    boxes = boxes.reshape(-1, 2, 2).clip(0, size_wh)  # (boxes, corner, xy)
    low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
    reach = max(float((high - low).max()) * (0.5 + MARGIN), LEAST_SIDE / 2)
    center = (low + high) / 2
    left, top = np.floor((center - reach).clip(0, size_wh - 1)).astype(int)
    right, bottom = np.ceil((center + reach).clip([left + 1, top + 1], size_wh)).astype(int)
    scale = side / max(right - left, bottom - top)
    picture_wh = max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1)
    picture = Image.fromarray(image[top:bottom, left:right]).resize(picture_wh, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for box, color in ((truth, TRUTH), (detected, DETECTED)):
        if box is not None:
            corners = (
                np.array([box[0] - left, box[1] - top, box[0] - left + box[2], box[1] - top + box[3]]) * scale
            ).clip(0, np.tile(picture_wh, 2) - 1)
            draw.rectangle(corners.round().astype(int).tolist(), outline=color, width=3)
    return np.asarray(picture)
