"""The averaged weights are used where they should be, whatever the size of a buffer that no checkpoint holds."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from fgdet.engine.hooks.ema import DetectorEMAHook


class Model(nn.Module):
    count: Tensor
    classes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.0]))
        self.register_buffer('count', torch.tensor([0.0]))
        self.register_buffer('classes', torch.empty(0), persistent=False)


def test_validation__sees_the_average_and_training_goes_on_without_it() -> None:
    model = Model()
    run: Any = SimpleNamespace(model=model, iter=0)
    hook = DetectorEMAHook(ema_type='ExponentialMovingAverage', momentum=0.25)
    hook.before_run(run)
    for value in (4.0, 8.0):
        with torch.no_grad():
            model.weight.fill_(value)
        model.count.fill_(value)
        model.classes = torch.ones(3)  # as a vocabulary's
        hook.after_train_iter(run, 0)
    hook.before_val_epoch(run)
    # The first step is copied, the second weighs a quarter: 0.75 * 4 + 0.25 * 8.
    assert (model.weight.item(), model.count.item()) == (5.0, 5.0)
    hook.after_val_epoch(run)
    assert (model.weight.item(), model.count.item(), len(model.classes)) == (8.0, 8.0, 3)
