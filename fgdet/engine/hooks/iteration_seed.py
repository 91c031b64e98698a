"""Random numbers that a resumed run draws as one that was never stopped."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from fgdet.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds Python, numpy and torch before each iteration from the run's seed, the rank and the iteration's number.

    So the state of the generators is in every checkpoint, for each rank, as the two numbers that it follows from.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the generators."""
        seeds = np.random.SeedSequence([runner.seed, runner.rank, runner.iter]).generate_state(2)
        random.seed(int(seeds[0]))
        np.random.seed(seeds[0])
        torch.manual_seed(int(seeds[1]))
