"""Numbers of a submission: how they are rounded without changing what they mean, and signs that they already were.

Axis letter: N detections.
"""

import numpy as np

from fgdet.evaluation.result_table import ResultTable

#: Decimals of a box in pixels; COCO recommends one.
BOX_DECIMALS = 2

_SCORE_DECIMALS = 6


def rounded_scores(scores: np.ndarray) -> tuple[np.ndarray, str]:
    """Round scores as far as all that differ still differ, so that their order and their ties stay.

    Args:
        scores: (N,) float64.

    Returns:
        (N,) float64, and words for what was done. The result rounded again is the same.
    """
    distinct, inverse = np.unique(scores, return_inverse=True)
    rounded, words = distinct, 'as given'
    single = np.array([float(str(value)) for value in distinct.astype(np.float32)])  # its shortest decimals
    if _all_differ(single):
        rounded, words = single, 'to single precision'
    few = np.asarray(np.round(rounded, _SCORE_DECIMALS))
    if _all_differ(few):
        rounded, words = few, f'to {_SCORE_DECIMALS} decimals'
    return rounded[inverse], words


def _all_differ(ascending: np.ndarray) -> bool:
    return bool((ascending[1:] > ascending[:-1]).all())


def lost_precision(table: ResultTable, with_masks: bool) -> list[str]:
    """Return warnings where the numbers were rounded before, so that the submission scores worse than the model."""
    warnings = []
    num = len(table)
    if num > 1 and not with_masks and (table.boxes == np.round(table.boxes)).all():
        warnings.append('all boxes are whole pixels: they were rounded, which costs AP at high overlaps')
    num_scores = len(np.unique(table.scores))
    if num > 1 and num_scores == 1:
        warnings.append(f'all scores are {table.scores[0]:g}: nothing ranks the detections')
    elif num_scores < num and (table.scores == np.round(table.scores, 3)).all():
        warnings.append(
            f'scores have at most three decimals: {num} detections share {num_scores} values, and ties are ranked by '
            'their place in the list'
        )
    return warnings
