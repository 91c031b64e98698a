"""A table of detections that grows batch by batch, with no second copy of what is there.

Axis letter: N detections of one batch.
"""

from array import array

import numpy as np

from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.run_lengths import RunLengths


class ResultColumns:
    """Collects detections; :meth:`table` gives them once all are there."""

    def __init__(self) -> None:
        self._image_ids, self._category_ids = array('q'), array('q')
        self._boxes, self._scores = array('d'), array('d')
        self._sizes, self._ends, self._text = array('i'), array('q'), bytearray()
        self._num_without_mask = 0

    def __len__(self) -> int:
        return len(self._image_ids)

    def add(
        self,
        image_ids: np.ndarray,
        category_ids: np.ndarray,
        boxes: np.ndarray,
        scores: np.ndarray,
        masks: RunLengths | None = None,
    ) -> None:
        """Append N detections: (N,) and (N,) int64, (N, 4) and (N,) float64, and their masks or None."""
        if masks is not None:
            self._add_empty_masks()
            self._ends.frombytes((masks.ends + len(self._text)).tobytes())
            self._sizes.frombytes(masks.sizes.astype(np.int32).tobytes())
            self._text += masks.text
        else:
            self._num_without_mask += len(image_ids)
        self._image_ids.frombytes(np.asarray(image_ids, dtype=np.int64).tobytes())
        self._category_ids.frombytes(np.asarray(category_ids, dtype=np.int64).tobytes())
        self._boxes.frombytes(np.asarray(boxes, dtype=np.float64).tobytes())
        self._scores.frombytes(np.asarray(scores, dtype=np.float64).tobytes())

    def table(self) -> ResultTable:
        """Return what was added, without a copy; nothing may be added after it."""
        masks = None
        if self._ends:
            self._add_empty_masks()
            sizes = np.frombuffer(self._sizes, dtype=np.int32).reshape(-1, 2)
            masks = RunLengths(sizes, np.frombuffer(self._ends, dtype=np.int64), self._text)
        return ResultTable(
            np.frombuffer(self._image_ids, dtype=np.int64),
            np.frombuffer(self._category_ids, dtype=np.int64),
            np.frombuffer(self._boxes, dtype=np.float64).reshape(-1, 4),
            np.frombuffer(self._scores, dtype=np.float64),
            masks,
        )

    def _add_empty_masks(self) -> None:
        """Make up for the detections that came without masks, before or among those with them."""
        self._ends.extend([len(self._text)] * self._num_without_mask)
        self._sizes.extend([-1] * (2 * self._num_without_mask))
        self._num_without_mask = 0
