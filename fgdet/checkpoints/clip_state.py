"""A plain CLIP state completed to FG-CLIP's, as FG-CLIP's training starts (arXiv 2505.05071, section 3.1)."""

from collections.abc import Mapping

from torch import Tensor

from fgdet.utils.resampling import stretch_positions

#: Tokens of a short and of a long text.
CONTEXT_LENGTH, LONG_CONTEXT_LENGTH = 77, 248


def complete_clip_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add what FG-CLIP has and CLIP has not, in our names; what is there stays untouched.

    The two long position tables are the short one stretched, the long projection is the short one, and the region and
    hard-negative scales start at the global one.

    Args:
        state: our names; FG-CLIP's own state comes back as it is.

    Raises:
        ValueError: the table of short positions, which the long ones are made from, is missing.
    """
    if 'text.position_embedding' not in state:
        raise ValueError('the checkpoint lacks the text position table (text.position_embedding)')
    stretched = stretch_positions(state['text.position_embedding'], LONG_CONTEXT_LENGTH)
    added = {
        'text.position_embedding_ori': stretched,
        'text.position_embedding_res': stretched.clone(),
        'text.long_projection.weight': state['text.projection.weight'].clone(),
        'logit_scale_region': state['logit_scale'].clone(),
        'logit_scale_hard_negative': state['logit_scale'].clone(),
    }
    return {**added, **state}
