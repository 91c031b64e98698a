"""The order in which a data set is read."""

from itertools import islice

import pytest
from mmengine.dataset import InfiniteSampler

from fgdet.datasets.samplers import EpochIndexSampler

DATA = range(7)


def first(sampler: InfiniteSampler, number: int) -> list[int]:
    return list(islice(iter(sampler), number))


def test_sampler__each_pass_is_a_permutation_plus_its_number_times_the_size() -> None:
    positions = first(EpochIndexSampler(DATA, seed=3), 28)
    passes = [positions[7 * i : 7 * i + 7] for i in range(4)]
    orders = [[p - 7 * i for p in each] for i, each in enumerate(passes)]
    assert all(sorted(order) == list(DATA) for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_sampler__same_order_as_mmengines() -> None:
    ours, theirs = (first(kind(DATA, seed=5), 21) for kind in (EpochIndexSampler, InfiniteSampler))
    assert [p % 7 for p in ours] == theirs


def test_sampler__unshuffled_counts_on() -> None:
    assert first(EpochIndexSampler(DATA, shuffle=False, seed=0), 16) == list(range(16))


def test_sampler__seed_decides() -> None:
    one, same, other = (first(EpochIndexSampler(DATA, seed=s), 14) for s in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize('world_size', [2, 3])
def test_sampler__ranks_share_out_the_stream(monkeypatch: pytest.MonkeyPatch, world_size: int) -> None:
    whole = first(EpochIndexSampler(DATA, seed=4), 7 * world_size)
    parts = []
    for rank in range(world_size):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, world_size))
        parts.append(first(EpochIndexSampler(DATA, seed=4), 7))
    assert [p for group in zip(*parts, strict=True) for p in group] == whole


@pytest.mark.parametrize('rank', [0, 1])
@pytest.mark.parametrize('consumed', [0, 3, 7, 18])
def test_skip__continues_where_the_stream_was_left(monkeypatch: pytest.MonkeyPatch, rank: int, consumed: int) -> None:
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, 2))
    whole = first(EpochIndexSampler(DATA, seed=4), 30)
    resumed = EpochIndexSampler(DATA, seed=4)
    resumed.skip(consumed)
    assert first(resumed, 12) == whole[consumed : consumed + 12]
