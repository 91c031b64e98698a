"""One scene of the shapes world: its picture, its objects, and the forms in which others read it.

Axes: H W image.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fgdet.datasets.shapes_text import composition_name


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        colour, pattern, shape: its composition.
        size_word: ``'large'`` or ``'small'``.
        bbox_xyxy: (4,) float32, tight box of ``mask`` in pixels; the right and lower edges are exclusive.
        mask: (H, W) bool, the pixels where it is visible.
        long_expr: phrase with size and position.
        negatives: names that are one attribute away and true of no object of the scene.
    """

    colour: str
    pattern: str
    shape: str
    size_word: str
    bbox_xyxy: np.ndarray
    mask: np.ndarray
    long_expr: str
    negatives: tuple[str, ...]

    @property
    def name(self) -> str:
        """``'<colour> <pattern> <shape>'``: the class name and short expression."""
        return composition_name((self.colour, self.pattern, self.shape))

    @property
    def short_expr(self) -> str:
        """The region's short expression: the name."""
        return self.name


@dataclass(frozen=True)
class Scene:
    """An image (H, W, 3) uint8 RGB, its objects from the rearmost to the frontmost, and two captions."""

    image: np.ndarray
    objects: tuple[SceneObject, ...]
    caption: str
    short_caption: str
    background: str

    def regions(self) -> list[dict[str, Any]]:
        """Objects as region dicts: ``bbox`` xyxy in 0..1 of the image, ``short_expr``, ``long_expr``, ``negatives``."""
        height, width = self.image.shape[:2]
        return [
            {
                'bbox': tuple((obj.bbox_xyxy / (width, height, width, height)).tolist()),
                'short_expr': obj.short_expr,
                'long_expr': obj.long_expr,
                'negatives': list(obj.negatives),
            }
            for obj in self.objects
        ]

    def to_record(self, f_path: str) -> dict[str, Any]:
        """The scene as a FineHARD record for the image file ``f_path``; the fifth box value is a score of 1."""
        boxes = [
            {
                'bbox': [*(round(value, 6) for value in region['bbox']), 1.0],
                'short_expr': region['short_expr'],
                'long_expr': region['long_expr'],
                'flag_short_neg': int(bool(region['negatives'])),
                'short_expr_negs': {str(key): negative for key, negative in enumerate(region['negatives'])},
            }
            for region in self.regions()
        ]
        return {
            'f_path': f_path,
            'caption': self.caption,
            'short_caption': self.short_caption,
            'bbox_info': boxes,
        }


def mask_box(mask: np.ndarray) -> np.ndarray:
    """Tight box (4,) float32 xyxy of a non-empty (H, W) bool mask, right and lower edges exclusive."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
