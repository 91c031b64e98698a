"""Completing a plain CLIP."""

import pytest
import torch

from fgdet.checkpoints.clip_state import complete_clip_state, plain_clip_state
from fgdet.utils.resampling import stretch_positions
from tests.builders import official_model

ADDED = {
    'text.position_embedding_ori',
    'text.position_embedding_res',
    'text.long_projection.weight',
    'logit_scale_region',
    'logit_scale_hard_negative',
}


def test_complete__adds_what_fg_clip_starts_from() -> None:
    full = official_model().state_dict()
    plain = {name: value for name, value in full.items() if name not in ADDED}
    completed = complete_clip_state(plain)
    assert completed.keys() == full.keys()
    assert all(completed[name] is value for name, value in plain.items())
    stretched = stretch_positions(plain['text.position_embedding'])
    assert torch.equal(completed['text.position_embedding_ori'], stretched)
    assert torch.equal(completed['text.position_embedding_res'], stretched)
    assert torch.equal(completed['text.long_projection.weight'], plain['text.projection.weight'])
    assert completed['logit_scale_region'] == completed['logit_scale_hard_negative'] == plain['logit_scale']


def test_complete__fg_clips_own_state_stays_as_it_is() -> None:
    full = official_model().state_dict()
    completed = complete_clip_state(full)
    assert completed.keys() == full.keys() and all(completed[name] is value for name, value in full.items())


def test_complete__added_tensors_share_no_memory() -> None:
    state = {name: torch.zeros(77, 2) for name in ('text.position_embedding', 'text.projection.weight')}
    completed = complete_clip_state(state | {'logit_scale': torch.zeros(())})
    pointers = [value.data_ptr() for value in completed.values()]
    assert len(set(pointers)) == len(pointers)


def test_complete__names_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r'lacks logit_scale, text\.projection\.weight$'):
        complete_clip_state({'text.position_embedding': torch.zeros(77, 2)})


def test_complete__half_precision_is_stretched_in_float32() -> None:
    state = {'text.position_embedding': torch.randn(77, 2).half(), 'text.projection.weight': torch.zeros(1)}
    stretched = complete_clip_state(state | {'logit_scale': torch.zeros(())})['text.position_embedding_res']
    assert torch.equal(stretched, stretch_positions(state['text.position_embedding'].float()).half())


def test_plain__leaves_out_what_completing_adds() -> None:
    full = official_model().state_dict()
    assert full.keys() - plain_clip_state(full).keys() == ADDED
