"""Detections of a whole data set as columns: what evaluators and submissions work on.

Axis letter: N detections.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fgdet.evaluation.run_lengths import RunLengths


@dataclass(eq=False)
class ResultTable:
    """N detections, the columns of a COCO result list.

    Six million detections of boxes take 340 MB, where their list of dicts takes 5 GB.

    Args:
        image_ids: (N,) int64.
        category_ids: (N,) int64.
        boxes: (N, 4) float64, x, y, width, height in pixels of the original image; rows of NaN where a result of masks
            came without a box.
        scores: (N,) float64.
        segmentations: N compressed run lengths ``{'size': [H, W], 'counts': text}``, None for a detection without;
            :class:`~fgdet.evaluation.run_lengths.RunLengths` where they come from a file; or None for boxes alone.

    Raises:
        ValueError: the columns differ in length or shape.
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    segmentations: Sequence[Mapping[str, Any] | None] | None = None

    def __post_init__(self) -> None:
        num = len(self.image_ids)
        shapes = [self.category_ids.shape, self.scores.shape, self.boxes.shape]
        if shapes != [(num,), (num,), (num, 4)]:
            raise ValueError(f'ResultTable: expected category_ids and scores ({num},), boxes ({num}, 4), got {shapes}')
        if self.segmentations is not None and len(self.segmentations) != num:
            raise ValueError(f'ResultTable: {len(self.segmentations)} segmentations for {num} detections')

    def __len__(self) -> int:
        return len(self.image_ids)

    def select(self, kept: np.ndarray) -> 'ResultTable':
        """Return the detections of a bool mask (N,) or of indices, in that order."""
        rows = np.flatnonzero(kept) if kept.dtype == bool else kept
        return ResultTable(
            self.image_ids[rows],
            self.category_ids[rows],
            self.boxes[rows],
            self.scores[rows],
            self._segmentations_of(rows),
        )

    def _segmentations_of(self, rows: np.ndarray) -> Sequence[Mapping[str, Any] | None] | None:
        masks = self.segmentations
        if isinstance(masks, RunLengths):
            return masks.take(rows)
        return None if masks is None else [masks[row] for row in rows]

    @classmethod
    def from_entries(cls, entries: Iterable[Mapping[str, Any]]) -> 'ResultTable':
        """Return the columns of a COCO result list whose entries are known to be well formed; others raise KeyError."""
        entries = list(entries)
        no_box = [np.nan] * 4
        boxes = [entry.get('bbox', no_box) for entry in entries]
        segmented = bool(entries) and 'segmentation' in entries[0]
        return cls(
            np.array([entry['image_id'] for entry in entries], dtype=np.int64),
            np.array([entry['category_id'] for entry in entries], dtype=np.int64),
            np.array(boxes, dtype=np.float64).reshape(-1, 4),
            np.array([entry['score'] for entry in entries], dtype=np.float64),
            [entry['segmentation'] for entry in entries] if segmented else None,
        )

    def to_entries(self) -> Iterable[dict[str, Any]]:
        """Yield the detections as entries of a COCO result list."""
        for start in range(0, len(self), 1000):
            part = slice(start, start + 1000)
            columns = (self.image_ids[part], self.category_ids[part], self.boxes[part], self.scores[part])
            rows = zip(*(column.tolist() for column in columns), strict=True)
            for row, (image_id, category_id, box, score) in enumerate(rows, start):
                entry: dict[str, Any] = {'image_id': image_id, 'category_id': category_id}
                if box[0] == box[0]:  # no NaN
                    entry['bbox'] = box
                entry['score'] = score
                segmentation = None if self.segmentations is None else self.segmentations[row]
                if segmentation is not None:
                    entry['segmentation'] = segmentation
                yield entry
