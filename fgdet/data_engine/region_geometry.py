"""Polygons, masks and boxes of regions: what is seen of them, what lies in what.

All in pixels, x to the right and y down; a pixel is the unit square from its column and row. Boxes are x1, y1, x2, y2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from pycocotools import mask as run_lengths
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

Box = tuple[float, float, float, float]


def shape_of(segmentation: Any) -> BaseGeometry:
    """The area of a COCO segmentation.

    Args:
        segmentation: polygons as ``[[x, y, x, y, ...], ...]``, of which the union counts; or run lengths
            ``{'size': [H, W], 'counts': ...}``, compressed or not. A ring that crosses itself is mended; one of fewer
            than three corners has no area.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(segmentation, dict) and {'size', 'counts'} <= segmentation.keys():
        if isinstance(segmentation['counts'], list):
            segmentation = run_lengths.frPyObjects(segmentation, *segmentation['size'])
        return shape_of_mask(run_lengths.decode(segmentation).astype(bool))
    if not isinstance(segmentation, list) or not all(
        isinstance(each, list) and len(each) % 2 == 0 for each in segmentation
    ):
        raise ValueError(
            'segmentation: expected polygons [[x, y, ...], ...] or run lengths {"size", "counts"}, got '
            f'{type(segmentation).__name__}'
        )
    rings = [np.asarray(each, dtype=np.float64).reshape(-1, 2) for each in segmentation if len(each) >= 6]
    return shapely.union_all([shapely.make_valid(Polygon(ring)) for ring in rings])


def shape_of_mask(mask: np.ndarray) -> BaseGeometry:
    """The area of the pixels that are set in a mask (H, W), exactly: its corners are corners of pixels."""
    padded = np.pad(np.asarray(mask, dtype=np.int8), ((0, 0), (1, 1)))
    changes = np.diff(padded, axis=1)  # (H, W + 1): 1 where a run begins, -1 after its end
    rows, starts = np.nonzero(changes == 1)
    ends = np.nonzero(changes == -1)[1]
    return shapely.union_all(shapely.box(starts, rows, ends, rows + 1))


def box_of(shape: BaseGeometry) -> Box | None:
    """The smallest box around a shape; None where it has no area."""
    return None if shape.area <= 0 else tuple(map(float, shape.bounds))  # type: ignore[return-value]


def area_of(box: Sequence[float]) -> float:
    """Of a box, in pixels squared; 0 where it is turned inside out."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def clipped(box: Sequence[float], window: Sequence[float]) -> Box:
    """What of a box lies in a window; a box without area where nothing does."""
    x1, y1 = (min(max(box[i], window[i]), window[i + 2]) for i in (0, 1))
    x2, y2 = (min(max(box[i], window[i - 2]), window[i]) for i in (2, 3))
    return float(x1), float(y1), float(x2), float(y2)


def visible_part(shape: BaseGeometry, window: Sequence[float]) -> tuple[BaseGeometry, float]:
    """What is left of a shape after the image is cropped to a window.

    Args:
        shape: a polygon or several.
        window: x1, y1, x2, y2.

    Returns:
        the part inside, and its share of the shape's area, 0..1; 0 for a shape without area.
    """
    inside = shape.intersection(shapely.box(*window))
    return inside, inside.area / shape.area if shape.area > 0 else 0.0


def containment(inner: BaseGeometry, outer: BaseGeometry) -> float:
    """The share of ``inner`` that lies in ``outer``, 0..1; 0 for one without area. Not symmetric, unlike an IoU."""
    return inner.intersection(outer).area / inner.area if inner.area > 0 else 0.0


def union_box(boxes: Sequence[Sequence[float]]) -> Box:
    """The smallest box around some; at least one."""
    corners = np.asarray(boxes, dtype=np.float64)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def filled_share(boxes: Sequence[Sequence[float]]) -> float:
    """How much of the box around some boxes they fill together, 0..1; 0 where it has no area."""
    around = area_of(union_box(boxes))
    return shapely.union_all([shapely.box(*each) for each in boxes]).area / around if around > 0 else 0.0


def box_of_annotation(annotation: dict[str, Any], width: int, height: int) -> tuple[Box, float]:
    """The box of what is seen of an annotated thing, and the share of it that lies in the image.

    Args:
        annotation: ``bbox`` as x, y, width, height; with ``segmentation``, the box of its part in the image counts.
        width, height: of the image.

    Raises:
        ValueError: the segmentation is malformed.
    """
    window = (0.0, 0.0, float(width), float(height))
    if annotation.get('segmentation'):
        part, share = visible_part(shape_of(annotation['segmentation']), window)
        box = box_of(part)
        if box is not None:
            return box, share
    x, y, w, h = annotation['bbox']
    whole = (x, y, x + w, y + h)
    box = clipped(whole, window)
    return box, area_of(box) / area_of(whole) if area_of(whole) > 0 else 0.0


@dataclass(frozen=True)
class RegionRules:
    """Which boxes are fit for a region.

    Args:
        smallest_side: pixels of the shorter side.
        whole_image: share of the image from which a box is the image rather than a region of it.
        least_visible: share of an annotated thing that must lie in the image.
    """

    smallest_side: float = 8.0
    whole_image: float = 0.9
    least_visible: float = 0.5

    def broken_by(self, box: Sequence[float], width: int, height: int) -> str | None:
        """``small``, ``whole_image``, or None for a good box."""
        if min(box[2] - box[0], box[3] - box[1]) < self.smallest_side:
            return 'small'
        return 'whole_image' if area_of(box) >= self.whole_image * width * height else None
