"""DeepSpeed's ZeRO (arXiv 1910.02054) through mmengine, with what its strategy leaves out."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from mmengine._strategy import DeepSpeedStrategy as MMEngineDeepSpeedStrategy
from mmengine._strategy.deepspeed import DeepSpeedOptimWrapper as MMEngineDeepSpeedOptimWrapper
from mmengine.dist import is_main_process
from mmengine.optim import OptimWrapper
from mmengine.runner.checkpoint import save_checkpoint
from torch import nn

from fgdet.registry import OPTIM_WRAPPERS, STRATEGIES
from fgdet.utils.checks import UserError


@OPTIM_WRAPPERS.register_module()
class DeepSpeedOptimWrapper(MMEngineDeepSpeedOptimWrapper):
    """Steps outside autograd, as DeepSpeed's gathering of weights over gloo needs it."""

    @torch.no_grad()
    def step(self, **kwargs: Any) -> None:
        """One step of DeepSpeed's engine."""
        super().step(**kwargs)


@STRATEGIES.register_module()
class DeepSpeedStrategy(MMEngineDeepSpeedStrategy):
    """mmengine's strategy, which a config's plain optimiser fits and whose checkpoints hooks reach.

    A checkpoint is a folder with a file for each process, which the same number of processes goes on from, and
    ``weights.pth`` for ``FGCLIP.from_pretrained``: weights as they compute, rounded to bfloat16 where that is on.

    Args:
        settings: DeepSpeed's and mmengine's, such as ``zero_optimization`` and ``bf16``.

    Raises:
        UserError: DeepSpeed is not installed, or it is a version that mmengine does not know.
    """

    def __init__(self, **settings: Any) -> None:
        if not _is_installed('deepspeed') or not _is_installed('deepspeed.runtime.fp16.onebit'):
            raise UserError(
                "strategy DeepSpeedStrategy: it needs DeepSpeed before version 0.19: pip install 'fgdet[deepspeed]'"
            )
        super().__init__(**settings)

    def prepare(self, model: nn.Module | dict[str, Any], **parts: Any) -> Any:
        """Build model and optimiser; the batch size of a process is the data loader's."""
        self.config.setdefault(
            'train_micro_batch_size_per_gpu', parts['dispatch_kwargs'].get('train_micro_batch_size_per_gpu', 1)
        )
        return super().prepare(model, **parts)

    def build_optim_wrapper(self, optim_wrapper: Any, model: nn.Module | None = None) -> OptimWrapper:
        """The config's optimiser; DeepSpeed itself clips and accumulates."""
        settings = dict(optim_wrapper, type='fgdet.DeepSpeedOptimWrapper')
        clip_grad = settings.pop('clip_grad', None)
        if clip_grad:
            self.config['gradient_clipping'] = clip_grad['max_norm']
        self.config['gradient_accumulation_steps'] = settings.pop('accumulative_counts', 1)
        return super().build_optim_wrapper(settings, model)

    def save_checkpoint(
        self,
        filename: str,
        *,
        extra_ckpt: dict[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None,
        **settings: Any,
    ) -> None:
        """Write the folder.

        Args:
            filename: the folder.
            extra_ckpt: what else is written; mmengine's runner gives ``meta`` and ``message_hub``.
            callback: called with ``extra_ckpt``, so that hooks add to it.
            settings: mmengine's ``save_optimizer`` and ``save_param_scheduler``.
        """
        extra = dict(extra_ckpt or {})
        if callback is not None:
            callback(extra)
        super().save_checkpoint(filename, extra_ckpt=extra, **settings)
        if is_main_process() and settings.get('save_optimizer', True):
            weights = {name: value.float().cpu() for name, value in self.model.module_state_dict().items()}
            save_checkpoint(dict(meta=extra.get('meta', {}), state_dict=weights), f'{filename}/weights.pth')

    def resume(
        self, filename: str, *, callback: Callable[[dict[str, Any]], None] | None = None, **settings: Any
    ) -> dict[str, Any]:
        """Go on from a folder; ``callback`` gets what hooks have written into it."""
        extra = super().resume(filename, **settings)
        if callback is not None:
            callback(extra)
        return extra


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False
