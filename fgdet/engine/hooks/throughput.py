"""Samples per second in the log."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from fgdet.registry import HOOKS


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Log ``samples_per_second``: samples of all ranks over the time of the last iteration, data loading included."""

    priority = 'NORMAL'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Read the iteration's time, which mmengine's timer hook has put into the message hub."""
        seconds = runner.message_hub.get_scalar('train/time').current()
        samples = len(data_batch['data_samples']) * runner.world_size
        runner.message_hub.update_scalar('train/samples_per_second', samples / seconds)
