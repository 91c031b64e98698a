"""Masks of one image held as small windows, for images so large that N whole masks would not fit into memory.

Axis letters: N masks, H W image height and width, h w window height and width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class CroppedMasks:
    """N masks (N, H, W), each stored only where it may be set; ``np.asarray`` and ``[i]`` give whole ones.

    Args:
        windows: N arrays (h, w) bool of any sizes; 0 x 0 for an empty mask.
        corners: N pairs, column and row of each window's first pixel in the image.
        size_hw: H and W of the image; every window lies inside.
    """

    windows: Sequence[np.ndarray]
    corners: Sequence[tuple[int, int]]
    size_hw: tuple[int, int]

    @classmethod
    def from_masks(cls, masks: np.ndarray) -> 'CroppedMasks':
        """Cut (N, H, W) bool masks down to what is set in each."""
        windows, corners = [], []
        for mask in masks:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            top, left = (int(rows[0]), int(columns[0])) if len(rows) else (0, 0)
            bottom, right = (int(rows[-1]) + 1, int(columns[-1]) + 1) if len(rows) else (0, 0)
            windows.append(mask[top:bottom, left:right].copy())
            corners.append((left, top))
        return cls(windows, corners, masks.shape[1:])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, H, W)."""
        return (len(self.windows), *self.size_hw)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: Any) -> Any:
        """One whole mask (H, W) for a number; masks of the same kind for an array of numbers or a slice."""
        if isinstance(index, int | np.integer):
            mask = np.zeros(self.size_hw, dtype=bool)
            (left, top), window = self.corners[int(index)], self.windows[int(index)]
            mask[top : top + window.shape[0], left : left + window.shape[1]] = window
            return mask
        kept = np.arange(len(self))[index]
        return CroppedMasks([self.windows[i] for i in kept], [self.corners[i] for i in kept], self.size_hw)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.zeros(self.shape, dtype=bool)  # (N, H, W)
        for index in range(len(self)):
            whole[index] = self[index]
        return whole if dtype is None else whole.astype(dtype)

    def placed(self, corner: tuple[int, int], size_hw: tuple[int, int]) -> 'CroppedMasks':
        """The masks of a part of an image as masks of the whole; ``corner`` is the column and row where it begins."""
        corners = [(left + corner[0], top + corner[1]) for left, top in self.corners]
        return CroppedMasks(self.windows, corners, size_hw)

    def resized(self, size_hw: tuple[int, int]) -> 'CroppedMasks':
        """The masks of the same image at another size, edges placed as those of boxes are and smoothed between."""
        factor_y, factor_x = (new / old for new, old in zip(size_hw, self.size_hw, strict=True))
        windows, corners = [], []
        for (left, top), window in zip(self.corners, self.windows, strict=True):
            x1, y1 = round(left * factor_x), round(top * factor_y)
            x2, y2 = round((left + window.shape[1]) * factor_x), round((top + window.shape[0]) * factor_y)
            if window.size and x2 > x1 and y2 > y1:
                grey = cv2.resize(window.astype(np.float32), (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
                windows.append(grey >= 0.5)
            else:
                windows.append(np.zeros((0, 0), dtype=bool))
            corners.append((x1, y1))
        return CroppedMasks(windows, corners, size_hw)

    def run_lengths(self) -> list[dict[str, Any]]:
        """COCO's uncompressed run lengths, column by column, beginning with the length of what is not set."""
        height, width = self.size_hw
        encoded = []
        for (left, top), window in zip(self.corners, self.windows, strict=True):
            strip = np.zeros((height, window.shape[1]), dtype=bool)
            strip[top : top + window.shape[0]] = window
            changes = np.flatnonzero(np.diff(strip.ravel(order='F'), prepend=False))  # places where a run begins
            places = np.concatenate([[0], changes + left * height, [height * width]])
            counts = np.diff(places).tolist()
            encoded.append({'size': [height, width], 'counts': counts})
        return encoded


def join_masks(masks: CroppedMasks, groups: Sequence[Sequence[int]]) -> CroppedMasks:
    """One mask for each group of masks: what is set in any of them."""
    windows, corners = [], []
    for group in groups:
        parts = [(*masks.corners[i], masks.windows[i]) for i in group if masks.windows[i].size]
        left, top = min((x for x, _, _ in parts), default=0), min((y for _, y, _ in parts), default=0)
        right = max((x + part.shape[1] for x, _, part in parts), default=0)
        bottom = max((y + part.shape[0] for _, y, part in parts), default=0)
        window = np.zeros((bottom - top, right - left), dtype=bool)
        for x, y, part in parts:
            window[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] |= part
        windows.append(window)
        corners.append((left, top))
    return CroppedMasks(windows, corners, masks.size_hw)
