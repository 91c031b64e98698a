"""Predictions that an evaluation of a model keeps: written last, so that a full disk does not take the scores."""

from collections.abc import Callable

from fgdet.evaluation.evaluation import Evaluation


class UnsavedPredictionsError(OSError):
    """The predictions could not be written; ``evaluation`` is whole."""

    def __init__(self, error: OSError, evaluation: Evaluation) -> None:
        super().__init__(error.errno, error.strerror, error.filename)
        self.evaluation = evaluation


def with_saved(evaluation: Evaluation, save: Callable[[], None] | None) -> Evaluation:
    """Return the evaluation once its predictions are written; None writes none.

    Raises:
        UnsavedPredictionsError: they cannot be written, for example as the disk is full.
    """
    if save is not None:
        try:
            save()
        except OSError as error:
            raise UnsavedPredictionsError(error, evaluation) from error
    return evaluation
