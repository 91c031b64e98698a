"""Muon and AdamW in one: the same steps as torch's two optimisers apart, and a state that survives a save."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from fgdet.engine.optimizers.muon_adamw import MuonConstructor


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.blocks = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 6)])
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.blocks[1](torch.tanh(self.blocks[0](self.embedding(ids))))
        return (self.scale * hidden).square().mean()


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tower = Tower()


OPTIMIZER = dict(lr=1e-2, muon_lr=2e-2, weight_decay=0.1, betas=(0.9, 0.98))
IDS = torch.tensor([0, 3, 5, 6])


def build(model: nn.Module) -> OptimWrapper:
    return MuonConstructor(dict(type='OptimWrapper', optimizer=dict(OPTIMIZER)))(model)


def step(model: Model, optimizer: torch.optim.Optimizer) -> None:
    model.zero_grad()
    model.tower(IDS).backward()
    optimizer.step()


def test_muon_adamw__equals_both_optimizers_apart():
    ours, reference = Model(), Model()
    combined = build(ours).optimizer
    tower = reference.tower
    muon = torch.optim.Muon(
        [block.weight for block in tower.blocks], lr=2e-2, weight_decay=0.1, momentum=0.95, adjust_lr_fn='original'
    )
    adamw = torch.optim.AdamW(
        [
            dict(params=[tower.embedding.weight], weight_decay=0.1),
            dict(params=[tower.scale, *(block.bias for block in tower.blocks)], weight_decay=0.0),
        ],
        lr=1e-2,
        betas=(0.9, 0.98),
        fused=True,
    )
    for _ in range(3):
        step(ours, combined)
        reference.zero_grad()
        tower(IDS).backward()
        muon.step()
        adamw.step()
    for (name, value), expected in zip(ours.named_parameters(), reference.parameters(), strict=True):
        assert torch.equal(value, expected), name


def test_muon_adamw__state_round_trip_continues_bit_for_bit():
    model = Model()
    wrapper = build(model)
    step(model, wrapper.optimizer)
    resumed = copy.deepcopy(model)
    other = build(resumed)
    other.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    for _ in range(2):
        step(model, wrapper.optimizer)
        step(resumed, other.optimizer)
    for ours, theirs in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_muon_adamw__a_schedule_reaches_both():
    model = Model()
    optimizer = build(model).optimizer
    for group in optimizer.param_groups:
        group['lr'] = 0.0
    before = copy.deepcopy(model.state_dict())
    step(model, optimizer)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_muon_constructor__frozen_parameters_stay_out():
    model = Model()
    model.tower.embedding.weight.requires_grad_(False)
    optimizer = build(model).optimizer
    listed = {id(p) for group in optimizer.param_groups for p in group['params']}
    assert listed == {id(p) for p in model.parameters() if p.requires_grad}


def test_muon_constructor__paramwise_settings_are_refused():
    with pytest.raises(ValueError, match='no effect'):
        MuonConstructor(dict(optimizer=dict(OPTIMIZER)), dict(bias_decay_mult=0.0))
