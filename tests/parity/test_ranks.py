"""Two and four processes against one on the union of their batches, and two against the official code's two."""

import sys
from itertools import chain
from multiprocessing import set_forkserver_preload
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor

from fgdet.apis.parity import LOSS_WEIGHTS, build_pretrainer, gradient_errors, training_batch
from fgdet.models.losses.hard_negative import HardNegativeLoss
from fgdet.models.losses.image_text_contrastive import ImageTextContrastiveLoss
from fgdet.models.losses.region_text_contrastive import RegionTextContrastiveLoss
from fgdet.utils.dist import RowGather, is_distributed, rank
from tests.builders import official_json, official_model, official_tensors, region_batch, tiny_pretrainer

#: For each case the images of each rank; an image lists the negatives of its regions.
STEPS: dict[str, list[tuple[tuple[int, ...], ...]]] = {
    'unequal': [((2, 0, 3), (1,)), ((1,), (2,)), ((), (4, 0, 0, 2)), ((1, 1), ())],
    'a rank without regions': [((2, 0), (1,)), ((), ()), ((3,), ()), ((), (0, 1))],
    'a rank without hard negatives': [((0, 0), (0,)), ((2, 0), (1,)), ((0,), ()), ((1,), (1,))],
    'only the last rank has regions': [((), ()), ((), ()), ((), ()), ((1, 0), (2,))],
    'no regions': [((), ())] * 4,
    'no hard negatives': [((0,), (0, 0))] * 4,
}
#: Pairs on each rank, for losses of features; the labels 1 and 4 come back on other ranks.
COUNTS = [3, 0, 2, 4]
LABELS = [[1, 2, 1], [], [1, 4], [5, 4, 4, 6]]
CONTRASTIVE = {
    'global': ImageTextContrastiveLoss(tile_size=2),
    'region': RegionTextContrastiveLoss(),
    'region alone': RegionTextContrastiveLoss(gather=False),
}
HARD = {'hard': HardNegativeLoss(), 'hard alone': HardNegativeLoss(gather=False)}


def features_of(process: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, texts and texts in groups (one for the first pair, two for the second ...) of one rank."""
    generator = torch.Generator().manual_seed(process)
    count = COUNTS[process]
    sizes = (count, count, count * (count + 1) // 2)
    images, texts, groups = (torch.randn(n, 5, generator=generator, dtype=torch.float64) for n in sizes)
    return images, texts, groups


def loss_and_grads(name: str, processes: list[int], use_labels: bool) -> list[Tensor]:
    """One loss of these ranks' features, gathered if there are several processes, with all gradients."""
    images, texts, groups = (torch.cat(x).requires_grad_() for x in zip(*map(features_of, processes), strict=True))
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    if name in HARD:
        sizes = torch.cat([torch.arange(1, COUNTS[p] + 1) for p in processes])
        inputs, loss = (images, groups, scale), HARD[name](images, groups, sizes, scale)
    else:
        labels = torch.tensor([*chain(*(LABELS[p] for p in processes))], dtype=torch.int64) if use_labels else None
        inputs, loss = (images, texts, scale), CONTRASTIVE[name](images, texts, scale, labels)
    return [loss.detach(), *torch.autograd.grad(loss, inputs)]


def step(name: str, processes: list[int]) -> dict[str, Tensor]:
    """Losses and gradients of a tiny model on these ranks' batches; two texts are the same on all of them."""
    batches = [region_batch(*STEPS[name][process], seed=7 + process) for process in processes]
    batch = {key: [*chain(*(b[key] for b in batches))] for key in batches[0]}
    common = region_batch((0,))['data_samples'][0]
    for sample in batch['data_samples'][::2]:
        sample.short_ids = common.short_ids
        sample.region_ids[:1] = common.region_ids[: len(sample.region_ids)]
    pretrainer = tiny_pretrainer().double()
    data = pretrainer.data_preprocessor(batch, True)
    losses = pretrainer(data['inputs'].double(), data['data_samples'], mode='loss')
    torch.stack([*losses.values()]).sum().backward()
    grads = {key: p.grad for key, p in pretrainer.named_parameters() if p.grad is not None}
    return {key: value.detach() for key, value in losses.items()} | grads


def official_results(process: int) -> dict[str, Any]:
    """Losses and averaged gradients of the official checkpoint on the recorded batches of two ranks."""
    model = official_model()
    losses = build_pretrainer(model).loss(*training_batch(official_tensors(), process))
    torch.stack([*losses.values()]).sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        dist.all_reduce(parameter.grad)
        parameter.grad /= 2
    return dict(
        official_losses={name: value.item() for name, value in losses.items()},
        official_gradient_errors=gradient_errors(model, official_json('losses')['two_process']['grads_avg']),
    )


def train_wrapped(regions: bool, process: int) -> dict[str, Tensor]:
    """Three steps in mmengine's wrapper; every second batch of process 1 has no region at all."""
    pretrainer = tiny_pretrainer(regions, max_logit_scale=10.0)
    wrapped = MMDistributedDataParallel(pretrainer)
    optimizer = OptimWrapper(torch.optim.AdamW(wrapped.parameters(), lr=1e-3))
    for step in range(3):
        negatives = ((), ()) if process and step % 2 else ((2, 0), (1,))
        wrapped.train_step(region_batch(*negatives, seed=10 * step + process), optimizer)
    return pretrainer.state_dict()


def work(process: int, folder: str, world: int) -> None:
    """What one process computes, saved for the tests below."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=process, world_size=world)
    gather = RowGather(process, torch.device('cpu'))
    rows = torch.full((process, 2), float(process), dtype=torch.bfloat16)
    results: dict[str, Any] = dict(
        known=[is_distributed(), rank(), gather.counts, gather.own, gather.mean_factor], gathered=gather(rows)
    )
    results['losses'] = {
        (name, labels): loss_and_grads(name, [process], labels)
        for name in (*CONTRASTIVE, *HARD)
        for labels in (False, True)
    }
    results['steps'] = {name: step(name, [process]) for name in STEPS}
    if world == 2:
        results |= official_results(process)
        results |= {stage: train_wrapped(stage == 'stage2', process) for stage in ('stage1', 'stage2')}
    torch.save(results, f'{folder}/{process}.pt')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What each process of two and of four computed."""
    results = {}
    root = str(Path(__file__).parents[2])
    set_forkserver_preload(['fgdet.apis.parity'])  # imported once for all processes
    sys.path.insert(0, root)  # the processes import this module by its name
    try:
        for world in (2, 4):
            folder = tmp_path_factory.mktemp('ranks')
            mp.start_processes(work, args=(str(folder), world), nprocs=world, start_method='forkserver')
            results[world] = [torch.load(folder / f'{process}.pt', weights_only=False) for process in range(world)]
    finally:
        sys.path.remove(root)
    return results


@pytest.fixture(params=[2, 4])
def ranks(request: pytest.FixtureRequest, runs: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return runs[request.param]


def test_gather__any_number_of_rows(ranks: list[dict[str, Any]]) -> None:
    counts = list(range(len(ranks)))
    for process, r in enumerate(ranks):
        start = sum(counts[:process])
        assert r['known'] == [True, process, counts, slice(start, start + process), len(counts) / sum(counts)]
        assert r['gathered'].dtype == torch.float32
        assert r['gathered'][:, 0].tolist() == [float(p) for p in counts for _ in range(p)]


@pytest.mark.parametrize('use_labels', [False, True])
@pytest.mark.parametrize('name', ['global', 'region', 'hard'])
def test_loss__mean_over_ranks_is_the_loss_of_the_union(
    ranks: list[dict[str, Any]], name: str, use_labels: bool
) -> None:
    expected = loss_and_grads(name, list(range(len(ranks))), use_labels)
    loss, images, texts, scale = zip(*(r['losses'][name, use_labels] for r in ranks), strict=True)
    # A rank holds its rows' share of the gradient of the sum over ranks: one N-th of it is that of the mean.
    ours = [
        torch.stack(loss).mean(),
        torch.cat(images) / len(ranks),
        torch.cat(texts) / len(ranks),
        torch.stack(scale).mean(),
    ]
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('name', ['region alone', 'hard alone'])
def test_loss__not_gathered_is_that_of_the_rank(ranks: list[dict[str, Any]], name: str) -> None:
    for process, r in enumerate(ranks):
        torch.testing.assert_close(r['losses'][name, True], loss_and_grads(name, [process], True), rtol=0, atol=0)


@pytest.mark.parametrize('name', STEPS)
def test_step__losses_and_every_gradient_equal_those_of_one_process(ranks: list[dict[str, Any]], name: str) -> None:
    expected = step(name, list(range(len(ranks))))
    for key, value in expected.items():
        mean = torch.stack([r['steps'][name][key] for r in ranks]).mean(0)
        torch.testing.assert_close(mean, value, rtol=1e-8, atol=1e-8, msg=lambda text, key=key: f'{key}: {text}')
    assert all(r['steps'][name].keys() == expected.keys() for r in ranks)


def test_official_losses__equal_those_of_each_process(runs: dict[int, list[dict[str, Any]]]) -> None:
    recorded = official_json('losses')['two_process']['ranks']
    for ours, theirs in zip(runs[2], recorded, strict=True):
        expected = [theirs['runs']['fp32_nocast'][name] * weight for name, weight in LOSS_WEIGHTS.items()]
        assert list(ours['official_losses'].values()) == pytest.approx(expected, abs=1e-5)
        assert max(ours['official_gradient_errors'].values()) < 1e-4


@pytest.mark.parametrize('stage', ['stage1', 'stage2'])
def test_wrapped_training__processes_stay_equal_learn_and_bound_the_scales(
    runs: dict[int, list[dict[str, Any]]], stage: str
) -> None:
    states = [r[stage] for r in runs[2]]
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
