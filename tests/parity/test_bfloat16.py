"""Losses in bfloat16 beside those of the unmodified official code, which trains in nothing else."""

import pytest
import torch

from fgdet.apis.parity import LOSS_WEIGHTS, build_pretrainer, training_batch
from tests.builders import official_json, official_model, official_tensors


@torch.no_grad()
@pytest.mark.parametrize('rank', [0, 1])
def test_losses__autocast(rank: int) -> None:
    batch = training_batch(official_tensors(), rank)
    with torch.autocast('cpu', torch.bfloat16):
        losses = build_pretrainer(official_model()).loss(*batch)
    runs = official_json('losses')[('single_process', 'single_process_rank1_batch_alone')[rank]]['runs']
    for value, (name, weight) in zip(losses.values(), LOSS_WEIGHTS.items(), strict=True):
        assert value.item() / weight == pytest.approx(
            runs['official_fp32_weights_autocast_bf16'][name], rel=0.02, abs=0.02
        ), name


@torch.no_grad()
@pytest.mark.parametrize('rank', [0, 1])
def test_losses__bfloat16_weights(rank: int) -> None:
    pixels, samples = training_batch(official_tensors(), rank)
    losses = build_pretrainer(official_model().bfloat16()).loss(pixels.bfloat16(), samples)
    runs = official_json('losses')[('single_process', 'single_process_rank1_batch_alone')[rank]]['runs']
    for value, (name, weight) in zip(losses.values(), LOSS_WEIGHTS.items(), strict=True):
        assert value.item() / weight == pytest.approx(runs['official_bf16_model'][name], rel=0.02, abs=0.02), name
