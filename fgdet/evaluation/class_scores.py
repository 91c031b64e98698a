"""What the per-class rows of an :class:`~fgdet.evaluation.evaluation.Evaluation` hold, whatever the protocol."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: What says which class a row is of; a score is none of these.
DESCRIPTION = ('name', 'group', 'num_objects', 'num_missed', 'threshold')

ClassRow = Mapping[str, Any]


def score_names(classes: Sequence[ClassRow]) -> list[str]:
    """Names of the scores in the rows, the first one first: it is what classes are ordered by."""
    named = dict.fromkeys(name for row in classes for name in row if name not in DESCRIPTION)
    return [name for name in named if any(is_known(row.get(name)) for row in classes)]


def ordered(classes: Sequence[ClassRow], score: str) -> list[ClassRow]:
    """The rows whose score is known, the worst first; of equal ones the one with more objects first."""
    known = [row for row in classes if is_known(row.get(score))]
    return sorted(known, key=lambda row: (row[score], -(row.get('num_objects') or 0), str(row.get('name'))))


def is_known(value: Any) -> bool:
    """Whether a value is a finite number; JSON has null for one that is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
