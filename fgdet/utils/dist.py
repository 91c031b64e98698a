"""Collectives that behave alone as they do among many."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def is_distributed() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's number, 0 when alone."""
    return dist.get_rank() if is_distributed() else 0


def gather_features(features: Tensor) -> Tensor:
    """Concatenate every rank's rows in rank order, with gradient to each of them.

    Args:
        features: (B, D), the same B on every rank.

    Returns:
        (N * B, D) for N ranks; ``features`` itself when alone. The backward pass sums over the ranks, so that the mean
        of the ranks' gradients is the gradient of the mean of their losses.
    """
    if not is_distributed():
        return features
    return torch.cat(tuple(all_gather(features)))
