"""A moving average of a detector's weights."""

from typing import Any

import torch
from mmengine.hooks import EMAHook

from fgdet.registry import HOOKS


@HOOKS.register_module()
class DetectorEMAHook(EMAHook):
    """mmengine's EMAHook for models with buffers that change their size, as those with a vocabulary's embeddings do.

    Validation and checkpoints use the average; the weights that training goes on with are kept in the checkpoint too.
    Only what a checkpoint holds is averaged and exchanged: mmengine also exchanges the other buffers, which have no
    size before the first step.

    Args:
        ema_type: mmengine's or mmdet's average.
        momentum: weight of a step's weights.
        **options: the other arguments of :class:`mmengine.hooks.EMAHook` and of the average, which refuses unknown
            ones.
    """

    def __init__(self, ema_type: str = 'ExpMomentumEMA', momentum: float = 0.0002, **options: Any) -> None:
        super().__init__(ema_type=ema_type, momentum=momentum, update_buffers=True, **options)

    @torch.no_grad()
    def _swap_ema_parameters(self) -> None:
        average = self.ema_model.module.state_dict()
        for name, value in self.src_model.state_dict().items():
            before = value.clone()
            value.copy_(average[name])
            average[name].copy_(before)
