"""Collectives that behave alone as they do among many.

Axes: B rows of this rank, G rows of all ranks, N ranks.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def is_distributed() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's number, 0 when alone."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """How many processes there are, 1 when alone."""
    return dist.get_world_size() if is_distributed() else 1


class RowGather:
    """Gathers the rows of all ranks in rank order, whatever their number on each of them.

    Every rank must make the same calls, one without rows too. The backward pass sums over the ranks, so that the mean
    of the ranks' gradients, as data-parallel wrappers take it, is the gradient of the mean of their losses.

    Args:
        count: rows of this rank, B; may be 0.
        device: where the rows lie.
        across: False leaves each rank alone: nothing is gathered.
    """

    def __init__(self, count: int, device: torch.device, across: bool = True) -> None:
        #: Rows of each rank; and which of all rows are this rank's.
        self.counts, start = [count], 0
        if across and is_distributed():
            counts = torch.empty(dist.get_world_size(), dtype=torch.int64, device=device)
            dist.all_gather_into_tensor(counts, torch.tensor([count], device=device))
            self.counts = counts.tolist()
            start = sum(self.counts[: rank()])
        self.own = slice(start, start + count)

    @property
    def mean_factor(self) -> float:
        """N / G: times a sum over the own rows, its mean over the ranks is the mean over all rows; 0 without rows."""
        total = sum(self.counts)
        return len(self.counts) / total if total else 0.0

    def __call__(self, rows: Tensor) -> Tensor:
        """Gather with gradient: (B, ...) -> (G, ...).

        Half precision becomes float32, because the backward pass sums over the ranks. Alone, ``rows`` itself.
        """
        if len(self.counts) == 1:
            return rows
        if rows.is_floating_point():
            rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        padding = [0, 0] * (rows.ndim - 1) + [0, max(*self.counts, 1) - len(rows)]
        parts = all_gather(F.pad(rows, padding))
        return torch.cat([part[:count] for part, count in zip(parts, self.counts, strict=True)])
