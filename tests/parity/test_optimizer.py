"""AdamW as the official training sets it up: which weights decay, and five steps of it."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from fgdet.apis.parity import LOSS_WEIGHTS, build_pretrainer, training_batch
from fgdet.checkpoints.hf_fg_clip import state_to_hf
from tests.builders import ROOT, official_json, official_model, official_tensors


def official_optimizer(model: nn.Module, **changes: float) -> OptimWrapper:
    config = Config.fromfile(ROOT / 'configs/_base_/schedules/pretrain_adamw.py').optim_wrapper
    config.optimizer.update(changes)
    return build_optim_wrapper(model, config)


def test_parameter_groups__equal_the_official_ones() -> None:
    model = official_model()
    groups = official_optimizer(model).optimizer.param_groups
    decay = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    assert all(group['lr'] == 1e-6 and group['betas'] == (0.9, 0.999) and group['eps'] == 1e-8 for group in groups)

    filled = {name: torch.full_like(p, decay[id(p)]) for name, p in model.named_parameters()}
    ours: dict[float, set[str]] = {}
    for name, value in state_to_hf(filled).items():
        ours.setdefault(round(float(value.flatten()[0]), 9), set()).add(name)
    assert ours == {g['weight_decay']: set(g['names']) for g in official_json('optimizer_groups')['default']}


def test_five_steps__follow_the_official_trajectory() -> None:
    model = official_model()
    pretrainer = build_pretrainer(model)
    optimizer = official_optimizer(model, lr=2e-3, weight_decay=0.05)
    pixels, samples = training_batch(official_tensors(), 0)
    for expected in official_json('losses')['single_process']['adamw_trajectory']['steps']:
        losses = pretrainer.loss(pixels, samples)
        total, _ = pretrainer.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ours = [value.item() for value in losses.values()]
        theirs = [expected[name] * weight for name, weight in LOSS_WEIGHTS.items()]
        assert ours == pytest.approx(theirs, abs=1e-3)
        assert total.item() == pytest.approx(expected['loss_total'], abs=1e-3)
        assert norm.item() == pytest.approx(expected['grad_norm_before_clip'], rel=1e-3)
        scales = [model.logit_scale, model.logit_scale_region, model.logit_scale_hard_negative]
        names = ['logit_scale', 'logit_scale_finegraind', 'logit_scale_hardneg']
        assert [s.item() for s in scales] == pytest.approx([expected[name] for name in names], abs=1e-5)
