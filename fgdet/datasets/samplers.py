"""Orders in which a dataset is read."""

from collections.abc import Iterator

import torch
from mmengine.dataset import InfiniteSampler

from fgdet.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpochIndexSampler(InfiniteSampler):
    """Endless shuffled passes that tell the dataset which pass it is in.

    Yields ``epoch * size + index``, from which a dataset derives both the record and a random state of its own. So what
    a sample becomes depends neither on the number of workers nor on what was read before, and a resumed run sees
    exactly the samples of one that never stopped.
    """

    def _infinite_indices(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self.seed)
        epoch = 0
        while True:
            order = torch.randperm(self.size, generator=generator) if self.shuffle else torch.arange(self.size)
            for part in order.split(65536):  # a list of all positions of a large data set would take gigabytes
                yield from (epoch * self.size + part).tolist()
            epoch += 1
