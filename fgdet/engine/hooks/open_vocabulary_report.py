"""What fine-tuning gives and what it takes: own classes, novel classes and a zero-shot data set in one table."""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fgdet.registry import HOOKS
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json


@HOOKS.register_module()
class OpenVocabularyReportHook(Hook):
    """Evaluates a second data set, with its own names, beside the validation set: before training, and with every
    validation or test. The log has one table of base, novel and zero-shot before and now, and the run's folder
    ``open_vocabulary.json`` of all of them. ``zero_shot`` is a score of the validation too, for ``save_best``.

    Args:
        zero_shot: configs ``dataloader`` and ``evaluator`` of the second data set, as ``val_dataloader`` and
            ``val_evaluator`` are, and ``score``, which of its scores counts, such as ``'coco_form/AP50'``.
        base: the validation's score of names with boxes in training.
        novel: its score of names without.

    Raises:
        UserError: a part of ``zero_shot`` is missing, or no score has that name.
    """

    priority = 'HIGH'  # an average of weights is still in place after a validation

    def __init__(
        self,
        zero_shot: Mapping[str, Any],
        base: str = 'ov_coco/base_ap50',
        novel: str = 'ov_coco/novel_ap50',
    ) -> None:
        for part in ('dataloader', 'evaluator', 'score'):
            if part not in zero_shot:
                raise UserError(f'OpenVocabularyReportHook zero_shot: it has no {part!r}')
        self.zero_shot = zero_shot
        self.own = {'base': base, 'novel': novel}
        self.reports: list[dict[str, Any]] = []
        self._zero_shot_parts: tuple[Any, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Evaluate both data sets with the weights that training starts from."""
        if runner.val_evaluator is None:
            raise UserError('OpenVocabularyReportHook: the run has no validation to compare with')
        self._report(runner, self._evaluate(runner, runner.val_dataloader, runner.val_evaluator))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Evaluate the second data set beside the validation."""
        self._report(runner, metrics if metrics is not None else {})

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """The same beside a test."""
        self._report(runner, metrics if metrics is not None else {})

    def _report(self, runner: Runner, own: dict[str, float]) -> None:
        if self._zero_shot_parts is None:
            loader = runner.build_dataloader(copy.deepcopy(self.zero_shot['dataloader']))
            self._zero_shot_parts = loader, runner.build_evaluator(copy.deepcopy(self.zero_shot['evaluator']))
        others = self._evaluate(runner, *self._zero_shot_parts)
        scores = {name: score_of(own, key, name) for name, key in self.own.items()}
        scores['zero_shot'] = score_of(others, self.zero_shot['score'], 'zero_shot.score')
        own['zero_shot'] = scores['zero_shot']
        runner.message_hub.update_scalar('val/zero_shot', scores['zero_shot'])
        self.reports.append(dict(iteration=runner.iter) | scores)
        runner.logger.info(table(self.reports[0], self.reports[-1]))
        if is_main_process():
            write_json(Path(runner.work_dir) / 'open_vocabulary.json', self.reports)

    @torch.no_grad()
    def _evaluate(self, runner: Runner, loader: Any, evaluator: Any) -> dict[str, float]:
        """Scores of a data set with its own names; the model is left as it was."""
        model = runner.model
        detector: Any = model.module if is_model_wrapper(model) else model
        mode, vocabulary = model.training, detector.vocabulary
        model.eval()
        metainfo = loader.dataset.metainfo
        detector.set_vocabulary(getattr(loader.dataset, 'vocabulary', None) or list(metainfo['classes']))
        evaluator.dataset_meta = metainfo
        for batch in loader:
            evaluator.process(data_samples=model.val_step(batch), data_batch=batch)
        scores = evaluator.evaluate(len(loader.dataset))
        detector.set_vocabulary(vocabulary)
        model.train(mode)
        return scores


def table(first: Mapping[str, float], last: Mapping[str, float]) -> str:
    """Base, novel and zero-shot before and now, in percent; a dash where no class has an object."""
    rows: list[tuple[str, ...]] = [('open vocabulary', 'before', 'now', 'change')]
    for name in ('base', 'novel', 'zero_shot'):
        before, now = 100 * first[name], 100 * last[name]
        numbers = (f'{before:.1f}', f'{now:.1f}', f'{now - before:+.1f}')
        rows.append((name.replace('_', '-'), *('-' if math.isnan(before + now) else number for number in numbers)))
    return '\n' + '\n'.join(f'{row[0]:<16}' + ''.join(f'{cell:>8}' for cell in row[1:]) for row in rows)


def score_of(scores: Mapping[str, float], key: str, argument: str) -> float:
    """The score of a name.

    Raises:
        UserError: there is none; it lists those that there are, and names the argument.
    """
    if key not in scores:
        known = ', '.join(scores) or 'none'
        raise UserError(f'OpenVocabularyReportHook {argument}: no score is named {key!r}; there are {known}')
    return float(scores[key])
