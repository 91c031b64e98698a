"""One vocabulary for a detector and the data that it meets, and no novel box in training."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fgdet.registry import HOOKS
from fgdet.utils.checks import UserError


@HOOKS.register_module()
class DatasetVocabularyHook(Hook):
    """Refuses to train where labels would index other names than the detector's or boxes of novel names would be shown,
    and makes the detector look for the names of the data set that it is evaluated on, in the detector's own templates
    unless the data's vocabulary has some.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare the training data's classes with the training vocabulary, and look for boxes of novel names.

        A data set of ``split='base'`` gives none. Any other is gone through, which takes seconds for COCO.

        Raises:
            UserError: the names differ or stand in another order, an image has a box of a name that is not among the
                detector's base names, or mmengine's EMAHook averages weights, which cannot hold a vocabulary.
        """
        if any(type(hook) is EMAHook for hook in runner.hooks):
            raise UserError(
                "EMAHook: it fails where a vocabulary's embeddings change their size; give type='fgdet.DetectorEMAHook'"
            )
        vocabulary = _detector(runner).training_vocabulary
        dataset = runner.train_dataloader.dataset
        _check_names(list(vocabulary.names), list(dataset.metainfo['classes']))
        is_base = vocabulary.base_mask
        for part in _parts(dataset):
            if getattr(part, 'split', None) == 'base' and tuple(part.vocabulary.base) == tuple(vocabulary.base):
                continue
            for index in range(len(part)):
                leaked = [label for label in part.get_cat_ids(index) if not is_base[label]]
                if leaked:
                    raise UserError(
                        f'training data: image {part.get_data_info(index).get("img_id", index)} has a box of '
                        f"{vocabulary.names[leaked[0]]!r}, which is not among the detector's base names, so novel "
                        "classes would leak into training; give the training data split='base', or put the name into "
                        "the vocabulary's base"
                    )

    def before_val(self, runner: Runner) -> None:
        """Look for the names of the validation data."""
        _look_for(runner, runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Look for the names of the test data."""
        _look_for(runner, runner.test_dataloader.dataset)


def _look_for(runner: Runner, dataset: Any) -> None:
    """Set the data's vocabulary, with the synonyms it may have, or its class names alone."""
    _detector(runner).set_vocabulary(getattr(dataset, 'vocabulary', None) or list(dataset.metainfo['classes']))


def _check_names(expected: list[str], classes: list[str]) -> None:
    for index, pair in enumerate(zip(expected, classes, strict=False)):
        if pair[0] != pair[1]:
            raise UserError(
                f'training classes[{index}]: {pair[1]!r} in the data set but {pair[0]!r} in the model; give both '
                'the same vocabulary'
            )
    if len(classes) != len(expected):
        raise UserError(f'training classes: {len(classes)} in the data set but {len(expected)} in the model')


def _parts(dataset: Any) -> Iterator[Any]:
    """The data sets inside mmengine's and mmdet's wrappers."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for each in inner:
        if each is None:
            yield dataset
        else:
            yield from _parts(each)


def _detector(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
