"""What a benchmark server would refuse or silently count wrong, found before the upload.

Axis letters: N detections, I images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fgdet.submission.candidates import EMPTY, MISSING, UNDECODABLE, WRONG_SIZE, Candidates
from fgdet.submission.image_info import ImageInfo

#: Pixels that a box may stand out of its image: rounding its four numbers to tenths, as COCO recommends, moves an edge
#: by up to a tenth.
EDGE_TOLERANCE = 0.1

#: How many problems a report shows.
MAX_EXAMPLES = 10


@dataclass(frozen=True)
class Problems:
    """What is wrong with a list of detections.

    Args:
        counts: how many detections (or images, where the kind is about those) are wrong in each way.
        examples: the first ones by position: the number of the entry in the list, the kind, and the words.
    """

    counts: dict[str, int]
    examples: list[tuple[int, str, str]]

    def __bool__(self) -> bool:
        return bool(self.counts)


def find_problems(candidates: Candidates, info: ImageInfo, max_per_image: int) -> Problems:
    """Look at all detections; an empty list has no problems here."""
    rows_of_kind = {kind: rows for kind, rows in problem_rows(candidates, info, max_per_image).items() if len(rows)}
    examples = []
    for kind, rows in rows_of_kind.items():
        words = _WORDS[kind]
        for row in rows[:MAX_EXAMPLES].tolist():
            examples.append((int(candidates.positions[row]), kind, words(candidates, row, info, max_per_image)))
    counts = {kind: len(rows) for kind, rows in rows_of_kind.items()}
    return Problems(counts, sorted(examples, key=lambda example: example[0])[:MAX_EXAMPLES])


def problem_rows(candidates: Candidates, info: ImageInfo, max_per_image: int) -> dict[str, np.ndarray]:
    """Return the rows, ascending, of each kind of problem."""
    table, known = candidates.table, candidates.known
    flags = {
        'unknown image': ~known,
        'unknown category': ~np.isin(table.category_ids, info.category_ids),
        'score that is no number': ~np.isfinite(table.scores),
        'score outside [0, 1]': np.isfinite(table.scores) & ((table.scores < 0) | (table.scores > 1)),
    }
    if candidates.mask_states is None:
        flags |= _box_flags(candidates, info)
    else:
        for kind, state in _MASK_KINDS.items():
            flags[kind] = (candidates.mask_states == state) & (known | (state == MISSING))
    rows = {kind: np.flatnonzero(flag) for kind, flag in flags.items()}
    rows['duplicate'] = np.flatnonzero(candidates.repeated())
    rows['too many in an image'] = _first_beyond(candidates, max_per_image)
    return rows


_MASK_KINDS = {
    'no mask': MISSING,
    'mask of another size than its image': WRONG_SIZE,
    'mask that cannot be decoded': UNDECODABLE,
    'no area': EMPTY,
}


def _box_flags(candidates: Candidates, info: ImageInfo) -> dict[str, np.ndarray]:
    boxes = candidates.table.boxes
    missing, finite = np.isnan(boxes).all(axis=1), np.isfinite(boxes).all(axis=1)
    sizes = boxes[:, 2:]
    negative = finite & (sizes < 0).any(axis=1)
    return {
        'no box': missing,
        'box that is no number': ~finite & ~missing,
        'negative size': negative,
        'no area': finite & ~negative & (np.round(sizes, 2) == 0).any(axis=1),
        'box outside the image': finite & ~negative & candidates.known & outside(candidates, info),
    }


def outside(candidates: Candidates, info: ImageInfo) -> np.ndarray:
    """Return whether each box stands out of its image by more than the tolerance, (N,) bool; NaN does not."""
    boxes, flags = candidates.table.boxes, np.zeros(len(candidates), dtype=bool)
    for axis in (0, 1):
        low = boxes[:, axis]
        flags |= low < -EDGE_TOLERANCE
        flags |= low + boxes[:, axis + 2] > info.sizes_wh[candidates.image_index, axis] + EDGE_TOLERANCE
    return flags


def _first_beyond(candidates: Candidates, max_per_image: int) -> np.ndarray:
    """Return, for each image with more than it may have, the row of the first one beyond, ascending."""
    order = np.argsort(np.where(candidates.known, candidates.image_index, -1), kind='stable')
    order = order[np.count_nonzero(~candidates.known) :]
    counts = np.bincount(candidates.image_index[order], minlength=1)
    starts = np.cumsum(counts) - counts
    return np.sort(order[starts[counts > max_per_image] + max_per_image])


def _mask_size(candidates: Candidates, row: int, info: ImageInfo, limit: int) -> str:
    assert candidates.masks is not None
    size = candidates.masks[row]['size']
    return f'segmentation.size: expected [height, width] {_size_hw(candidates, row, info)}, got {size}'


def _size_hw(candidates: Candidates, row: int, info: ImageInfo) -> list[int]:
    return info.sizes_wh[candidates.image_index[row]][::-1].tolist()


def _box(candidates: Candidates, row: int) -> list[float]:
    return [float(f'{value:.10g}') for value in candidates.table.boxes[row]]


Words = Callable[[Candidates, int, ImageInfo, int], str]

_WORDS: dict[str, Words] = {
    'unknown image': lambda c, row, info, _: (
        f'image_id {c.table.image_ids[row]} is not among the {len(info.image_ids)} images of {info.path.name}'
    ),
    'unknown category': lambda c, row, info, _: (
        f'category_id {c.table.category_ids[row]} is not among the {len(info.category_ids)} categories'
    ),
    'score that is no number': lambda c, row, *_: f'score: expected a number, got {c.table.scores[row]}',
    'score outside [0, 1]': lambda c, row, *_: f'score: expected 0 to 1, got {c.table.scores[row]:.10g}',
    'no box': lambda *_: "no 'bbox', or nothing but NaN in it",
    'box that is no number': lambda c, row, *_: f'bbox: expected four finite numbers, got {_box(c, row)}',
    'negative size': lambda c, row, *_: f'bbox: negative width or height in {_box(c, row)}',
    'no area': lambda c, row, *_: (
        'segmentation: no pixel in the mask'
        if c.masks
        else f'bbox: width or height of less than 0.01 pixels in {_box(c, row)}'
    ),
    'box outside the image': lambda c, row, info, _: (
        f'bbox {_box(c, row)} (x, y, width, height) stands out of image {c.table.image_ids[row]} of '
        '{} x {} pixels'.format(*_size_hw(c, row, info)[::-1])
    ),
    'no mask': lambda *_: "no 'segmentation'",
    'mask of another size than its image': _mask_size,
    'mask that cannot be decoded': lambda c, row, info, _: (
        f'segmentation.counts: no run lengths of {np.prod(_size_hw(c, row, info))} pixels'
    ),
    'duplicate': lambda c, row, *_: (
        f'same image ({c.table.image_ids[row]}), category ({c.table.category_ids[row]}) and '
        f'{"mask" if c.masks else "box"} as an earlier one'
    ),
    'too many in an image': lambda c, row, info, limit: (
        f'image {c.table.image_ids[row]} has {np.count_nonzero(c.table.image_ids == c.table.image_ids[row])} '
        f'detections, and {limit} are allowed'
    ),
}
