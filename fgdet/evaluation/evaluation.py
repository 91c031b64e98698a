"""What an evaluation gives: the scores, how they were made, and what a report shows beside them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fgdet.evaluation.resampling import Interval, Resampler

#: Inputs that may be files, or lists of them, and those that may be folders.
_PREDICTIONS = ('pred', 'pred_synonyms', 'save_pred', 'save_pred_synonyms')
_FILES = (*_PREDICTIONS, 'ann', 'image_ids', 'split', 'vocab', 'classes', 'templates', 'config', 'checkpoint')
_FOLDERS = ('images', 'checkpoint')


@dataclass
class Evaluation:
    """Scores of one run by one protocol.

    Args:
        name: the command's name, such as ``ov-coco``.
        protocol: one line that says what was counted and how, for a reader who doubts the number.
        scores: by name, as fractions; counts as int. They are the top-level keys of the JSON file.
        inputs: the options that make the same evaluation again, such as ``ann``, ``pred``, ``iou_type``.
        columns: names of ``scores`` in the rows and columns in which a terminal shows them: ``{row: {column: name}}``.
        classes: one dict a class, for tables and plots: ``name``, ``group`` (base, novel, rare ...), ``num_objects``
            and its scores, such as ``ap50`` and ``ap``.
        curves: precision-recall curves at an overlap of 0.5: ``{label: (101,) precision}``; recalls 0, 0.01 ... 1.
            A class's label is ``name (num_objects)``, all others are groups.
        mistakes: the most confident ones first: ``image_id``, ``file_name``, ``bbox`` xywh, ``score``, ``name`` as
            predicted, ``truth``, ``truth_bbox`` and ``kind``, one of
            :mod:`~fgdet.evaluation.functional.detection_mistakes`; then the largest missed objects.
        resampler: gives the scores of other draws of the images; None where that has no meaning.
        intervals: of the scores, where they were asked for.
        add_details: adds to ``classes``, ``curves`` and ``mistakes`` what a page shows and the scores do not need.
        details: further entries of the JSON file, such as the bins of a calibration.
    """

    name: str
    protocol: str
    scores: dict[str, float]
    inputs: dict[str, Any]
    columns: dict[str, dict[str, str]]
    classes: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, Any] = field(default_factory=dict)
    mistakes: list[dict[str, Any]] = field(default_factory=list)
    resampler: Resampler | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    add_details: Callable[[], None] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` writes: the scores at the top level, then how they were made, by absolute paths."""
        record: dict[str, Any] = dict(self.scores)
        inputs = {name: _from_anywhere(name, value) for name, value in self.inputs.items()}
        record |= {'name': self.name, 'protocol': self.protocol, 'inputs': inputs}
        if self.intervals:
            record['intervals'] = {name: list(interval) for name, interval in self.intervals.items()}
        if self.classes:
            record['classes'] = self.classes
        return record | self.details


def _from_anywhere(name: str, value: Any) -> Any:
    """An input with absolute paths; what is no file, such as a model's name on a hub, stays as it is."""
    if isinstance(value, list):
        return [_from_anywhere(name, each) for each in value]
    is_path = isinstance(value, str) and (
        (name in _FILES and os.path.isfile(value)) or (name in _FOLDERS and os.path.isdir(value))
    )
    return os.path.abspath(value) if is_path else value
