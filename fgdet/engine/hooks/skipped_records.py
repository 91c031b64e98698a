"""Counting of the records that a run passed over."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from fgdet.registry import HOOKS
from fgdet.utils.checks import UserError


@HOOKS.register_module()
class SkippedRecordsHook(Hook):
    """Log each record that was passed over, with its file and line, and stop a run that loses too many.

    Args:
        max_share: largest share of records that may be bad, 0 to 1.
        min_records: records read before the share is judged.

    Raises (while training):
        UserError: more than ``max_share`` of the records read so far are bad.
    """

    def __init__(self, max_share: float = 0.1, min_records: int = 1000) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f'max_share must lie in 0..1, got {max_share}')
        self.max_share = max_share
        self.min_records = min_records
        self.num_read = 0
        self.skipped: Counter[str] = Counter()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Count what the batch's samples say was passed over before them."""
        samples: Sequence[Any] = data_batch['data_samples']
        self.num_read += len(samples)
        for sample in samples:
            for source, reason in sample.get('skipped', ()):
                self.num_read += 1
                if source not in self.skipped:
                    print_log(f'skipped {source}: {reason}', logger='current', level=logging.WARNING)
                self.skipped[source] += 1
        bad = self.skipped.total()
        if self.num_read >= self.min_records and bad > self.max_share * self.num_read:
            raise UserError(
                f'{bad} of the {self.num_read} records read so far are bad, more than the allowed share of '
                f'{self.max_share:g}; mend the data (the log names each record) or raise SkippedRecordsHook.max_share'
            )

    def after_train(self, runner: Runner) -> None:
        """Report the totals."""
        print_log(
            f'records read: {self.num_read}, skipped as bad: {self.skipped.total()} '
            f'({len(self.skipped)} different ones)',
            logger='current',
        )
