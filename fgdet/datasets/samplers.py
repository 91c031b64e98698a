"""Orders in which a dataset is read."""

import sys
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from fgdet.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpochIndexSampler(InfiniteSampler):
    """Endless shuffled passes that tell the dataset which pass it is in.

    Yields ``epoch * size + index``, from which a dataset derives both the record and a random state of its own. So what
    a sample becomes depends neither on the number of workers nor on what was read before, and a resumed run sees
    exactly the samples of one that never stopped.
    """

    def skip(self, num_samples: int) -> None:
        """Begin behind this many samples of each rank, without counting them off.

        Raises:
            ValueError: ``num_samples`` is negative.
        """
        start = _count(num_samples) * self.world_size
        self.indices = islice(self._infinite_indices(start), self.rank, None, self.world_size)

    def _infinite_indices(self, start: int = 0) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self.seed)
        for epoch in count():
            order = torch.randperm(self.size, generator=generator) if self.shuffle else torch.arange(self.size)
            begin = epoch * self.size
            for part in order[max(0, start - begin) :].split(65536):  # a list of all positions would take gigabytes
                yield from (begin + part).tolist()


@DATA_SAMPLERS.register_module()
class StreamSampler(Sampler):
    """Positions for a dataset that is a stream: they count on, dealt out to the ranks in turn.

    Args:
        dataset: not looked at; the runner gives it to every sampler.
        seed: has no effect, for there is no choice to make; the runner gives it to every sampler.
    """

    def __init__(self, dataset: Any = None, seed: int | None = None) -> None:
        self.rank, self.world_size = get_dist_info()
        self.num_skipped = 0

    def __iter__(self) -> Iterator[int]:
        return count(self.num_skipped * self.world_size + self.rank, self.world_size)

    def __len__(self) -> int:
        return sys.maxsize  # there is no end; the logs ask whether this is it

    def skip(self, num_samples: int) -> None:
        """Begin behind this many samples of each rank.

        Raises:
            ValueError: ``num_samples`` is negative.
        """
        self.num_skipped = _count(num_samples)


def _count(num_samples: int) -> int:
    if num_samples < 0:
        raise ValueError(f'num_samples: expected 0 or more, got {num_samples}')
    return num_samples
