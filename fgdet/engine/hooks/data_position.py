"""The place in the training data, in the checkpoint and back."""

import logging
from typing import Any

import torch
from mmengine.dist import all_gather, get_comm_device, get_rank, is_distributed
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from fgdet.registry import HOOKS
from fgdet.utils.checks import UserError

_KEY = 'data_position'


@HOOKS.register_module()
class DataPositionHook(Hook):
    """Lets a resumed run go on at the very sample where the checkpoint was written.

    With a map-style dataset and :class:`~fgdet.datasets.samplers.EpochIndexSampler` the place follows from the number
    of iterations; here only a change of batch size or ranks is noticed. With
    :class:`~fgdet.datasets.shards.RegionTextShards` the place of each worker's stream comes with the batches (the meta
    field ``stream_state`` of the last sample). That of the last batch *trained* on is kept, not of those loaded ahead.
    """

    def __init__(self) -> None:
        self._states: dict[int, list[Tensor]] = {}  # of each worker: a tensor for each rank
        self._loaded: dict[str, Any] | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Note where the stream of this batch's worker is, on every rank."""
        state = data_batch['data_samples'][-1].get('stream_state')
        if state is not None:
            place = torch.tensor(state)
            if is_distributed():  # left on the device until a checkpoint is written: nobody waits for it
                place = place.to(get_comm_device())
            self._states[batch_idx % _num_streams(runner)] = all_gather(place)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write the place down."""
        states = {worker: [place.tolist() for place in ranks] for worker, ranks in self._states.items()}
        checkpoint[_KEY] = dict(settings=_settings(runner), states=states)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep what the checkpoint says until it is known whether the run goes on from it."""
        self._loaded = checkpoint.get(_KEY)

    def before_train(self, runner: Runner) -> None:
        """Bring a resumed run to its place.

        Raises:
            UserError: the dataset is a stream, and the checkpoint has no place for it or one of another setting.
        """
        if runner.iter == 0:
            return
        settings = _settings(runner)
        before = self._loaded['settings'] if self._loaded else {}
        changes = [
            f'{name} {before.get(name)}, now {settings[name]}'
            for name in settings
            if before.get(name) != settings[name]
        ]
        dataset = runner.train_dataloader.dataset
        if not hasattr(dataset, 'resume'):
            changes = [change for change in changes if not change.startswith('num_workers')]
            if self._loaded and changes:
                _warn(f'the checkpoint was written with {"; ".join(changes)}: the data goes on at an approximate place')
            return
        if not self._loaded or changes:
            what = f'was written with {"; ".join(changes)}' if self._loaded else 'has no place in the data'
            raise UserError(
                f'resume: the checkpoint {what}; shards go on at the sample with the same settings only: give these, '
                'or start with load_from instead of resume'
            )
        self._states = {worker: [torch.tensor(s) for s in ranks] for worker, ranks in self._loaded['states'].items()}
        dataset.resume({worker: ranks[get_rank()] for worker, ranks in self._loaded['states'].items()})


def _num_streams(runner: Runner) -> int:
    return max(1, runner.train_dataloader.num_workers)


def _settings(runner: Runner) -> dict[str, Any]:
    loader = runner.train_dataloader
    return dict(
        batch_size=loader.batch_size,
        num_ranks=runner.world_size,
        num_workers=_num_streams(runner),
        sampler_seed=getattr(loader.sampler, 'seed', None),
    )


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
