"""Detections on their way into a submission, with where each one came from and what its mask is like.

Axis letter: N detections.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.run_lengths import RunLengths
from fgdet.submission.image_info import ImageInfo
from fgdet.submission.run_lengths import measure_run_lengths

#: What a mask can be, as numbers in ``Candidates.mask_states``.
GOOD, EMPTY, MISSING, WRONG_SIZE, UNDECODABLE = range(5)

_BLOCK = 1000  # masks whose numbers fit a cache


class Masks(Sequence):
    """Some of a list's masks in another order, without a copy of their texts.

    Args:
        whole: the masks of the list.
        rows: (N,) int64, which of them.
    """

    def __init__(self, whole: RunLengths, rows: np.ndarray) -> None:
        self.whole, self.rows = whole, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.whole[int(self.rows[index])]


@dataclass(eq=False)
class Candidates:
    """N detections and what was found out about them.

    Args:
        table: the detections, without masks.
        positions: (N,) int64, each one's number in the list that was read, from 0.
        image_index: (N,) int64 index into the images of the info file; 0 where ``known`` is False.
        known: (N,) bool, whether the info file has the image.
        run_lengths: the masks of the whole list that was read; None where boxes are submitted, as the next two.
        mask_states: (N,) uint8, ``GOOD`` and so on.
        mask_keys: (N,) uint64, equal for equal masks.
    """

    table: ResultTable
    positions: np.ndarray
    image_index: np.ndarray
    known: np.ndarray
    run_lengths: RunLengths | None = None
    mask_states: np.ndarray | None = None
    mask_keys: np.ndarray | None = None

    @classmethod
    def of(cls, table: ResultTable, info: ImageInfo, with_masks: bool) -> 'Candidates':
        """Return the detections of a list as it was read; masks are looked at where they are submitted.

        Raises:
            ValueError: masks are to be submitted, and there are none.
        """
        index, known = info.find(table.image_ids)
        candidates = cls(replace(table, segmentations=None), np.arange(len(table)), index, known)
        if with_masks:
            masks = table.segmentations
            if masks is None:
                raise ValueError('candidates: there are no masks')
            candidates.run_lengths = masks if isinstance(masks, RunLengths) else RunLengths.from_dicts(masks)
            states_and_keys = _look_at_masks(candidates.run_lengths, info.sizes_wh[index])
            candidates.mask_states, candidates.mask_keys = states_and_keys
        return candidates

    def __len__(self) -> int:
        return len(self.table)

    @property
    def masks(self) -> Masks | None:
        """Each one's run lengths ``{'size': [H, W], 'counts': text}``, None for one without; None for boxes."""
        return None if self.run_lengths is None else Masks(self.run_lengths, self.positions)

    def select(self, rows: np.ndarray) -> 'Candidates':
        """Return the detections of a bool mask (N,) or of indices, in that order."""
        return Candidates(
            self.table.select(rows),
            self.positions[rows],
            self.image_index[rows],
            self.known[rows],
            self.run_lengths,
            None if self.mask_states is None else self.mask_states[rows],
            None if self.mask_keys is None else self.mask_keys[rows],
        )

    def repeated(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return which rows repeat an earlier one's image, category, and box to a hundredth of a pixel (or mask).

        Args:
            rows: (M,) indices in the order in which "earlier" is meant; None takes all as they are.

        Returns:
            (M,) bool.
        """
        rows = np.arange(len(self)) if rows is None else rows
        keys = self._keys()[rows]
        order = np.argsort(keys, kind='stable')
        at = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
        later, earlier = rows[order[at + 1]], rows[order[at]]
        same = self._are_equal(later, earlier)
        repeated = np.zeros(len(rows), dtype=bool)
        repeated[order[at + 1]] = same
        return repeated

    def _keys(self) -> np.ndarray:
        """Return (N,) uint64, equal where detections are, and as good as never elsewhere."""
        keys = np.zeros(len(self), np.uint64)
        for ids in (self.table.image_ids, self.table.category_ids):
            keys = _mixed(keys, ids.view(np.uint64))
        if self.mask_keys is not None:
            return _mixed(keys, self.mask_keys)
        for column in range(4):
            keys = _mixed(keys, (np.round(self.table.boxes[:, column] * 100) + 0.0).view(np.uint64))  # no -0
        return keys

    def _are_equal(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        same = (self.table.image_ids[rows] == self.table.image_ids[others]) & (
            self.table.category_ids[rows] == self.table.category_ids[others]
        )
        if self.mask_states is None:
            boxes = self.table.boxes
            return same & (np.round(boxes[rows] * 100) == np.round(boxes[others] * 100)).all(axis=1)
        assert self.mask_keys is not None
        return same & (self.mask_keys[rows] == self.mask_keys[others]) & (self.mask_states[rows] == GOOD)


def _mixed(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return keys (N,) uint64 that depend on both, well spread; multiplication wraps around."""
    mixed = (keys ^ values) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(31))


def _look_at_masks(masks: RunLengths, sizes_wh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the states (N,) uint8 and the keys (N,) uint64 of masks, of images of these sizes (N, 2)."""
    states, keys = np.zeros(len(masks), np.uint8), np.zeros(len(masks), np.uint64)
    lengths = np.diff(masks.ends, prepend=0)
    text = memoryview(masks.text)
    for start in range(0, len(masks), _BLOCK):
        rows = slice(start, start + _BLOCK)
        begin = int(masks.ends[start - 1]) if start else 0
        ends = masks.ends[rows].tolist()
        pixels, inside = measure_run_lengths(text[begin : ends[-1]], lengths[rows])
        sizes = masks.sizes[rows].astype(np.int64)
        of_block = states[rows]
        for state, flags in (
            (MISSING, sizes[:, 0] < 0),
            (WRONG_SIZE, (sizes[:, ::-1] != sizes_wh[rows]).any(axis=1)),
            (UNDECODABLE, pixels != sizes.prod(axis=1)),
            (EMPTY, inside == 0),
        ):
            of_block[(of_block == GOOD) & flags] = state
        keys[rows] = [_key(text[a:b]) for a, b in zip([begin, *ends[:-1]], ends, strict=True)]
    return states, keys


def _key(text: memoryview) -> int:
    """Return 64 bits of a hash: among six million masks, two that differ meet in one of a million cases."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), 'little')
