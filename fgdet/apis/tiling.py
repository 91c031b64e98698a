"""Detection on an image that is much larger than what the network takes: in overlapping tiles, and as a whole.

Tiles find what is small, the image shrunk to the network's size finds what is larger than a tile. A box that a tile's
border cuts is not what it seems: it goes where a box that is not cut covers it, is joined with its other half from the
neighbour, or is dropped where the neighbour, which holds all of it, saw nothing.

Axes: T tiles, N boxes, H W height and width of the image.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torchvision.ops import batched_nms

from fgdet.structures.cropped_masks import CroppedMasks, join_masks
from fgdet.structures.detections import Detections
from fgdet.utils.checks import UserError

#: Share of a tile's side within which a box counts as touching the tile's border; 2 pixels at least.
BORDER_SHARE = 0.01
#: Share of a cut box that a box which is not cut must cover to stand for it.
COVERED_SHARE = 0.6
#: Overlap (intersection over union) of two halves in the area that both tiles see, from which on they are one thing.
SAME_THING = 0.5


def tile_grid(size_hw: tuple[int, int], tile: int, overlap: float) -> np.ndarray:
    """Tiles of one size that cover an image, evenly spread.

    Args:
        size_hw: H and W in pixels.
        tile: side of a tile in pixels; along a shorter side of the image a tile is as long as that.
        overlap: share of a tile's side that neighbours have in common at least, 0..1 without 1.

    Returns:
        (T, 4) int, xyxy in pixels of the image, row by row.

    Raises:
        UserError: a tile of less than 1 pixel, or an overlap out of range.
    """
    if tile < 1 or not 0 <= overlap < 1:
        raise UserError(f'tiles: expected a side of 1 pixel or more and an overlap in 0..1, got {tile} and {overlap}')
    (rows, height), (columns, width) = (_starts(length, tile, overlap) for length in size_hw)
    return np.array([(x, y, x + width, y + height) for y in rows for x in columns])


def _starts(length: int, tile: int, overlap: float) -> tuple[list[int], int]:
    """Where tiles begin along one side, and how long they are."""
    if length <= tile:
        return [0], length
    step = max(1, tile - int(np.ceil(tile * overlap)))
    count = 1 + -(-(length - tile) // step)
    return np.linspace(0, length - tile, count).round().astype(int).tolist(), tile


def cut_sides(boxes: np.ndarray, tile: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Which sides of boxes lie on a border of the tile that is no border of the image.

    Args:
        boxes: (N, 4) xyxy in pixels of the image.
        tile: (4,) xyxy, the tile that they were found in.
        size_hw: H and W of the image.

    Returns:
        (N, 4) bool: left, top, right, bottom.
    """
    margin = max(2.0, BORDER_SHARE * float(max(tile[2] - tile[0], tile[3] - tile[1])))
    inner = np.asarray(tile) != (0, 0, size_hw[1], size_hw[0])  # (4,)
    return inner & (np.abs(boxes - tile) <= margin)


def join_halves(boxes: np.ndarray, labels: np.ndarray, tiles: np.ndarray) -> list[list[int]]:
    """Groups of cut boxes that are parts of one thing.

    Two boxes of one label from two tiles belong together where, within the area that both tiles see, they agree.

    Args:
        boxes: (N, 4) xyxy in pixels of the image.
        labels: (N,) int.
        tiles: (N, 4) xyxy, the tile of each.

    Returns:
        lists of indices; every box is in one, alone where nothing belongs to it.
    """
    group = np.arange(len(boxes))
    for index in range(len(boxes) - 1):
        rest = np.arange(index + 1, len(boxes))
        rest = rest[(labels[rest] == labels[index]) & (tiles[rest] != tiles[index]).any(axis=1)]
        shared = _intersection(tiles[rest], tiles[index])
        one, other = _intersection(shared, boxes[index]), _intersection(shared, boxes[rest])
        both = _area(_intersection(one, other))
        union = _area(one) + _area(other) - both
        for match in rest[both > SAME_THING * np.maximum(union, 1e-9)]:
            group[group == group[match]] = group[index]
    return [np.flatnonzero(group == each).tolist() for each in dict.fromkeys(group.tolist())]


def merge_tiles(
    found: Sequence[Detections],
    tiles: np.ndarray,
    whole: Detections,
    size_hw: tuple[int, int],
    overlap: float,
    agnostic: bool = False,
    iou: float = 0.5,
) -> Detections:
    """Detections of an image from those of its tiles and of the image as a whole.

    Args:
        found: for each tile its detections, in pixels of the image.
        tiles: (T, 4) xyxy, see :func:`tile_grid`.
        whole: those of the image as a whole, in its pixels.
        size_hw: H and W of the image.
        overlap: share of a tile that neighbours have in common.
        agnostic: boxes of different names suppress each other.
        iou: overlap from which on the worse of two boxes is suppressed.

    Returns:
        the best first.
    """
    everything = concatenate([*found, whole])
    counts = [len(each) for each in found]
    origin = np.repeat(tiles, counts, axis=0)  # (N of the tiles, 4)
    sides = [cut_sides(each.boxes, tile, size_hw) for each, tile in zip(found, tiles, strict=True)]
    cut = np.concatenate([*sides, np.zeros((len(whole), 4), bool)])  # (N, 4)
    intact, pieces = np.flatnonzero(~cut.any(axis=1)), np.flatnonzero(cut.any(axis=1))
    pieces = pieces[~_covered(everything, pieces, intact, agnostic)]
    groups = [
        pieces[group] for group in join_halves(everything.boxes[pieces], everything.labels[pieces], origin[pieces])
    ]
    kept = [
        group for group in groups if len(group) > 1 or _seen_whole_nowhere(everything, cut, group[0], origin, overlap)
    ]
    merged = concatenate([everything.select(intact), _joined(everything, kept)])
    labels = np.zeros_like(merged.labels) if agnostic else merged.labels
    best = batched_nms(torch.from_numpy(merged.boxes), torch.from_numpy(merged.scores), torch.from_numpy(labels), iou)
    return merged.select(best.numpy())


def detect_tiled(
    image: np.ndarray,
    detect: Callable[[list[np.ndarray]], list[Detections]],
    tile: int,
    overlap: float = 0.25,
    batch_size: int = 1,
    agnostic: bool = False,
    iou: float = 0.5,
) -> Detections:
    """Detections of a large image.

    Args:
        image: (H, W, 3) uint8 RGB.
        detect: detections of a list of images, each in its own pixels; called with ``batch_size`` tiles at most, and
            once with the whole image.
        tile: side of a tile in pixels.
        overlap, agnostic, iou: see :func:`tile_grid` and :func:`merge_tiles`.
        batch_size: tiles at a time.
    """
    size_hw = image.shape[:2]
    (whole,) = detect([image])
    tiles = tile_grid(size_hw, tile, overlap)
    if len(tiles) == 1:
        return whole
    found: list[Detections] = []
    for start in range(0, len(tiles), batch_size):
        chunk = tiles[start : start + batch_size]
        results = detect([image[top:bottom, left:right] for left, top, right, bottom in chunk])
        found += [_placed(each, corner, size_hw) for each, corner in zip(results, chunk[:, :2], strict=True)]
    return merge_tiles(found, tiles, _placed(whole, (0, 0), size_hw), size_hw, overlap, agnostic, iou)


def concatenate(parts: Sequence[Detections]) -> Detections:
    """Detections of one image joined in order; masks, which all parts or none have, as cropped ones."""
    masks = [part.masks for part in parts]
    joined = None
    if all(isinstance(each, CroppedMasks) for each in masks):
        windows = [window for each in masks for window in each.windows]  # type: ignore[union-attr]
        corners = [corner for each in masks for corner in each.corners]  # type: ignore[union-attr]
        joined = CroppedMasks(windows, corners, masks[0].size_hw)  # type: ignore[union-attr]
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
        [name for part in parts for name in part.names],
        joined,
    )


def _placed(found: Detections, corner: Sequence[int], size_hw: tuple[int, int]) -> Detections:
    """Detections of a part of an image as those of the whole."""
    left, top = (int(each) for each in corner)
    masks = CroppedMasks.from_masks(found.masks) if isinstance(found.masks, np.ndarray) else found.masks
    placed = None if masks is None else masks.placed((left, top), size_hw)
    boxes = found.boxes + np.array([left, top, left, top], np.float32)
    return Detections(boxes, found.scores, found.labels, found.names, placed)


def _covered(found: Detections, pieces: np.ndarray, intact: np.ndarray, agnostic: bool) -> np.ndarray:
    """(P,) bool: which cut boxes lie within a box that is not cut, of their name."""
    covered = np.zeros(len(pieces), bool)
    for position, piece in enumerate(pieces):
        over = _area(_intersection(found.boxes[intact], found.boxes[piece]))
        same = agnostic | (found.labels[intact] == found.labels[piece])
        covered[position] = (same & (over >= COVERED_SHARE * _area(found.boxes[piece]))).any()
    return covered


def _seen_whole_nowhere(found: Detections, cut: np.ndarray, index: int, origin: np.ndarray, overlap: float) -> bool:
    """Whether a cut box is longer, across a border that cuts it, than what neighbours see in common."""
    x1, y1, x2, y2 = found.boxes[index]
    tile_width, tile_height = origin[index][2:] - origin[index][:2]
    left, top, right, bottom = cut[index]
    return bool(
        ((left | right) and x2 - x1 > overlap * tile_width) or ((top | bottom) and y2 - y1 > overlap * tile_height)
    )


def _joined(found: Detections, groups: Sequence[Sequence[int]]) -> Detections:
    """One detection for each group: the box around its boxes, the best score, the masks together."""
    best = np.array([group[int(np.argmax(found.scores[group]))] for group in groups], dtype=int)
    joined = found.select(best)
    boxes = [np.concatenate([found.boxes[g][:, :2].min(axis=0), found.boxes[g][:, 2:].max(axis=0)]) for g in groups]
    masks = join_masks(found.masks, groups) if isinstance(found.masks, CroppedMasks) else None
    return Detections(np.array(boxes), joined.scores, joined.labels, joined.names, masks)


def _intersection(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(..., 4) xyxy of what two boxes share; upside down where they share nothing."""
    return np.concatenate([np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])], axis=-1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)
