"""What competes with the names that are looked for and is never reported.

Axes: ... regions, queries or cells, K names, N negative prompts.
"""

from torch import Tensor


def without_negatives(scores: Tensor, num_negatives: int) -> Tensor:
    """Take a name from a region which one of the negative prompts fits better.

    Args:
        scores: (..., K + N) scores of the names, then of the negative prompts.
        num_negatives: N, 0 or more.

    Returns:
        (..., K): the names' scores, 0 where the best of the negative prompts is higher.
    """
    if not num_negatives:
        return scores
    names, negatives = scores[..., :-num_negatives], scores[..., -num_negatives:]
    return names * (names >= negatives.amax(dim=-1, keepdim=True))
