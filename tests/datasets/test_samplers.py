"""The order in which a data set is read."""

from itertools import islice

import pytest
from mmengine.dataset import InfiniteSampler

from fgdet.datasets.samplers import EpochIndexSampler, StreamSampler

DATA = range(7)


def first(sampler: InfiniteSampler | StreamSampler, number: int) -> list[int]:
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


def test_skip__unshuffled_and_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (1, 3))
    sampler = EpochIndexSampler(DATA, shuffle=False, seed=0)
    sampler.skip(100_000)
    assert first(sampler, 4) == [300_001, 300_004, 300_007, 300_010]


def test_stream__ranks_count_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    samplers = []
    for rank in range(3):
        monkeypatch.setattr('fgdet.datasets.samplers.get_dist_info', lambda rank=rank: (rank, 3))
        samplers.append(StreamSampler())
    assert [first(sampler, 3) for sampler in samplers] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    samplers[1].skip(2)
    assert first(samplers[1], 2) == first(samplers[1], 2) == [7, 10]


@pytest.mark.parametrize('sampler', [EpochIndexSampler(DATA, seed=0), StreamSampler()])
def test_skip__backwards_is_refused(sampler: EpochIndexSampler | StreamSampler) -> None:
    with pytest.raises(ValueError, match='num_samples: expected 0 or more, got -1'):
        sampler.skip(-1)
