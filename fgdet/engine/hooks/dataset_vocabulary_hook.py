"""One vocabulary for a detector and the data that it meets."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fgdet.registry import HOOKS
from fgdet.utils.checks import UserError


@HOOKS.register_module()
class DatasetVocabularyHook(Hook):
    """Refuses to train where labels would index other names than the detector's, and makes the detector look for the
    names of the data set that it is evaluated on, in the detector's own templates.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare the training data's classes with the training vocabulary.

        Raises:
            UserError: they differ, or stand in another order.
        """
        expected = list(_detector(runner).training_vocabulary.names)
        classes = list(runner.train_dataloader.dataset.metainfo['classes'])
        for index, pair in enumerate(zip(expected, classes, strict=False)):
            if pair[0] != pair[1]:
                raise UserError(
                    f'training classes[{index}]: {pair[1]!r} in the data set but {pair[0]!r} in the model; give both '
                    'the same vocabulary'
                )
        if len(classes) != len(expected):
            raise UserError(f'training classes: {len(classes)} in the data set but {len(expected)} in the model')

    def before_val(self, runner: Runner) -> None:
        """Look for the names of the validation data."""
        _detector(runner).set_vocabulary(list(runner.val_dataloader.dataset.metainfo['classes']))

    def before_test(self, runner: Runner) -> None:
        """Look for the names of the test data."""
        _detector(runner).set_vocabulary(list(runner.test_dataloader.dataset.metainfo['classes']))


def _detector(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
