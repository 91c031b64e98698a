"""A plain CLIP state completed to FG-CLIP's, as FG-CLIP's training starts (arXiv 2505.05071, section 3.1)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fgdet.utils.resampling import stretch_positions

#: Tokens of a short and of a long text.
CONTEXT_LENGTH, LONG_CONTEXT_LENGTH = 77, 248
#: What FG-CLIP has and CLIP has not, in our names, and what its training starts each from.
FG_CLIP_ONLY = {
    'text.position_embedding_ori': 'text.position_embedding',
    'text.position_embedding_res': 'text.position_embedding',
    'text.long_projection.weight': 'text.projection.weight',
    'logit_scale_region': 'logit_scale',
    'logit_scale_hard_negative': 'logit_scale',
}


def complete_clip_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add what FG-CLIP has and CLIP has not, in our names; what is there stays untouched.

    The two long position tables are the short one stretched, the long projection is the short one, and the region and
    hard-negative scales start at the global one. Each has the dtype of what it is made from.

    Args:
        state: our names; FG-CLIP's own state comes back as it is.

    Raises:
        ValueError: a tensor that the others are made from is missing; they are listed.
    """
    absent = {name: source for name, source in FG_CLIP_ONLY.items() if name not in state}
    missing = sorted({source for source in absent.values() if source not in state})
    if missing:
        raise ValueError(f'the checkpoint lacks {", ".join(missing)}')
    added = {
        name: _stretched(state[source]) if source == 'text.position_embedding' else state[source].clone()
        for name, source in absent.items()
    }
    return {**added, **state}


def plain_clip_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of a state plain CLIP has; the rest is left out."""
    return {name: value for name, value in state.items() if name not in FG_CLIP_ONLY}


def _stretched(table: Tensor) -> Tensor:
    """The long table in the dtype of the short one, computed in float32 at least."""
    exact = table.to(torch.promote_types(table.dtype, torch.float32))
    return stretch_positions(exact, LONG_CONTEXT_LENGTH).to(table.dtype)
