"""Which checkpoints fit a model."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fgdet.engine.hooks import CompleteCheckpointHook
from fgdet.utils.checks import UserError


@pytest.fixture
def runner():
    return SimpleNamespace(model=nn.Linear(2, 1))


def test_complete__what_is_left_over_does_no_harm(runner):
    state = {'module.weight': torch.ones(1, 2), 'bias': torch.ones(1), 'more': torch.ones(3)}
    CompleteCheckpointHook('a.pth').after_load_checkpoint(runner, {'state_dict': state})
    assert runner.model.weight.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ('state', 'message'),
    [
        ({'weight': torch.ones(1, 2)}, '1 of 2 weights are missing: bias'),
        ({'weight': torch.ones(1, 3), 'bias': torch.ones(1)}, 'size mismatch for weight'),
        ({}, '2 of 2 weights are missing: weight, bias'),
    ],
)
def test_complete__names_what_does_not_fit(runner, state, message):
    with pytest.raises(UserError, match=rf"checkpoint a\.pth: it does not fit the config's model \({message}"):
        CompleteCheckpointHook('a.pth').after_load_checkpoint(runner, state)
