"""Class names that regions are told apart from when a pretraining run is validated."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.distributed.fsdp import register_fsdp_forward_method

from fgdet.registry import HOOKS
from fgdet.utils.checks import UserError


@HOOKS.register_module()
class ClassTextsHook(Hook):
    """Before each validation or test, encode class names and give them to the metrics that take classes.

    Args:
        names: the class names; None for the ``classes`` of the data set that is evaluated.
    """

    priority = 'LOW'  # after a hook for moving averages has put them in their place

    def __init__(self, names: Sequence[str] | None = None) -> None:
        self.names = None if names is None else list(names)

    def before_run(self, runner: Runner) -> None:
        """Let FSDP, where it spreads the weights, gather them for the names too."""
        register_fsdp_forward_method(_model(runner), 'encode_text')

    def before_val_epoch(self, runner: Runner) -> None:
        """Encode with the weights of this moment."""
        self._set(runner, runner.val_evaluator.metrics, runner.val_dataloader.dataset)

    def before_test_epoch(self, runner: Runner) -> None:
        """Encode with the weights of this moment."""
        self._set(runner, runner.test_evaluator.metrics, runner.test_dataloader.dataset)

    @torch.no_grad()
    def _set(self, runner: Runner, metrics: Sequence[Any], dataset: Any) -> None:
        names = self.names or list(getattr(dataset, 'metainfo', {}).get('classes', ()))
        if not names:
            raise UserError('ClassTextsHook: neither names nor the classes of the data set say what to tell apart')
        model = _model(runner)
        ids = model.clip.tokenize(names)
        features = model.encode_text(ids.to(model.clip.logit_scale.device))
        for metric in metrics:
            if hasattr(metric, 'set_classes'):
                metric.set_classes(ids, features)


def _model(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
