"""Two processes against one on the union of their batches, and against the official code's two-process run."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from fgdet.apis.parity import LOSS_WEIGHTS, build_pretrainer, gradient_errors, training_batch
from fgdet.models.losses.image_text_contrastive import ImageTextContrastiveLoss
from fgdet.utils.dist import RowGather, is_distributed, rank
from tests.builders import official_json, official_model, official_tensors, region_batch, tiny_pretrainer


def work(process: int, folder: str) -> None:
    """Everything that one of the two processes computes, saved for the tests below."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=process, world_size=2)
    gather = RowGather(2 * process, torch.device('cpu'))
    results: dict[str, Any] = dict(
        known=(is_distributed(), rank(), gather.own, gather.mean_factor), gathered=gather(torch.ones(2 * process, 3))
    )

    features, scale = global_features()
    mine = [f[3 * process : 3 * process + 3].clone().requires_grad_() for f in features]
    loss = ImageTextContrastiveLoss()(*mine, scale)
    loss.backward()
    results.update(loss=loss.detach(), feature_grads=[f.grad for f in mine], scale_grad=scale.grad)

    model = official_model()
    pretrainer = build_pretrainer(model)
    losses = pretrainer.loss(*training_batch(official_tensors(), process))
    sum(losses.values()).backward()
    results['losses'] = {name: value.item() for name, value in losses.items()}
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= 2
    results['gradient_errors'] = gradient_errors(model, official_json('losses')['two_process']['grads_avg'])

    for stage, regions in (('stage1', False), ('stage2', True)):
        results[stage] = train_wrapped(regions, process)
    torch.save(results, f'{folder}/{process}.pt')
    dist.destroy_process_group()


def global_features() -> tuple[list[torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    features = [torch.randn(6, 5, dtype=torch.float64) for _ in range(2)]
    return features, torch.tensor(7.0, dtype=torch.float64, requires_grad=True)


def train_wrapped(regions: bool, process: int) -> dict[str, torch.Tensor]:
    """Three steps in mmengine's wrapper; every second batch of process 1 has no region at all."""
    pretrainer = tiny_pretrainer(regions, max_logit_scale=10.0)
    wrapped = MMDistributedDataParallel(pretrainer)
    optimizer = OptimWrapper(torch.optim.AdamW(wrapped.parameters(), lr=1e-3))
    for step in range(3):
        negatives = ((), ()) if process and step % 2 else ((2, 0), (1,))
        wrapped.train_step(region_batch(*negatives, seed=10 * step + process), optimizer)
    return pretrainer.state_dict()


@pytest.fixture(scope='module')
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp('ranks')
    root = str(Path(__file__).parents[2])
    sys.path.insert(0, root)  # the processes import this module by its name
    try:
        mp.spawn(work, args=(str(folder),), nprocs=2)
    finally:
        sys.path.remove(root)
    return [torch.load(folder / f'{process}.pt', weights_only=False) for process in range(2)]


def test_dist__knows_its_place(ranks: list[dict[str, Any]]) -> None:
    assert [r['known'] for r in ranks] == [(True, 0, slice(0, 0), 1.0), (True, 1, slice(0, 2), 1.0)]
    for r in ranks:
        assert r['gathered'].tolist() == [[1.0] * 3] * 2


def test_global_loss__mean_over_processes_is_the_loss_of_the_union(ranks: list[dict[str, Any]]) -> None:
    features, scale = global_features()
    features = [f.requires_grad_() for f in features]
    loss = ImageTextContrastiveLoss()(*features, scale)
    loss.backward()
    torch.testing.assert_close((ranks[0]['loss'] + ranks[1]['loss']) / 2, loss.detach(), rtol=1e-12, atol=0)
    # Each process holds its rows' share of the sum over processes: half of it is the gradient of the mean.
    for i, whole in enumerate(features):
        parts = torch.cat([r['feature_grads'][i] for r in ranks]) / 2
        torch.testing.assert_close(parts, whole.grad, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close((ranks[0]['scale_grad'] + ranks[1]['scale_grad']) / 2, scale.grad)


def test_losses__equal_the_official_ones_of_each_process(ranks: list[dict[str, Any]]) -> None:
    recorded = official_json('losses')['two_process']['ranks']
    for ours, theirs in zip(ranks, recorded, strict=True):
        expected = [theirs['runs']['fp32_nocast'][name] * weight for name, weight in LOSS_WEIGHTS.items()]
        assert list(ours['losses'].values()) == pytest.approx(expected, abs=1e-5)


def test_gradients__average_equals_the_official_one(ranks: list[dict[str, Any]]) -> None:
    for r in ranks:
        assert max(r['gradient_errors'].values()) < 1e-4


@pytest.mark.parametrize('stage', ['stage1', 'stage2'])
def test_wrapped_training__processes_stay_equal_learn_and_bound_the_scales(
    ranks: list[dict[str, Any]], stage: str
) -> None:
    states = [r[stage] for r in ranks]
    pretrainer = tiny_pretrainer(stage == 'stage2')
    pretrainer.clip.clamp_logit_scales(10.0)  # from 14.3
    start = pretrainer.state_dict()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    # AdamW moves whatever has a gradient by about the learning rate in each of the three steps.
    still = {name for name, value in states[0].items() if (value - start[name]).abs().max() < 1e-3}
    unused = {'clip.logit_scale_region', 'clip.logit_scale_hard_negative'}
    assert still == (unused if stage == 'stage1' else set())
    # The last step follows the last check.
    assert all(v <= torch.tensor(10.0).log() + 1.1e-3 for name, v in states[0].items() if 'logit_scale' in name)
