"""Streams of shards: everything once, shared out without overlap, weighted, and exact after a stop at any batch."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from fgdet.datasets.samplers import StreamSampler
from fgdet.datasets.shards import RegionTextShards
from fgdet.datasets.transforms import (
    FlipRegionTextImage,
    LoadRegionTextImage,
    PackRegionTextInputs,
    ResizeRegionTextImage,
)
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.checks import UserError
from tests.builders import record, shard_members, write_shard

BATCH = 3
pytestmark = pytest.mark.filterwarnings('ignore:This DataLoader will create')


class Words:
    """Stands for the tokenizer: keeps the caption as a name, and a random number."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        ids = dict.fromkeys(('long_ids', 'short_ids', 'region_ids', 'hard_regions', 'hard_ids', 'hard_sizes'))
        draw = torch.tensor([results['rng'].random()])
        return results | ids | dict(sample_key=results['caption'], long_ids=draw)


PIPELINE = [
    LoadRegionTextImage(),
    ResizeRegionTextImage((4, 4)),
    FlipRegionTextImage(),
    Words(),
    PackRegionTextInputs(),
]


def write(folder: Path, num_shards: int, size: int, name: str = 's') -> str:
    """Shards ``name-0.tar`` ... of ``size`` samples each, with captions such as 's-0-2'."""
    for i in range(num_shards):
        write_shard(folder / f'{name}-{i}.tar', shard_members(f'{name}-{i}-{j}' for j in range(size)))
    return f'{folder}/{name}-{{0..{num_shards - 1}}}.tar'


def shards(sources: Any, rank: int = 0, num_ranks: int = 1, **settings: Any) -> RegionTextShards:
    data = RegionTextShards(sources, PIPELINE, **(dict(shuffle_buffer=4) | settings))
    data.rank, data.world_size = rank, num_ranks
    return data


def batches(data: RegionTextShards, workers: int = 0, skip: int = 0) -> Iterator[dict[str, Any]]:
    sampler = StreamSampler()
    sampler.rank, sampler.world_size = data.rank, data.world_size
    sampler.skip(skip * BATCH)
    return iter(DataLoader(data, BATCH, sampler=sampler, num_workers=workers, collate_fn=pseudo_collate))


def keys(batch: dict[str, Any]) -> list[str]:
    return [sample.key for sample in batch['data_samples']]


def print_of(batch: dict[str, Any]) -> list[Any]:
    """All that a batch is, to compare."""
    samples = batch['data_samples']
    return [(s.key, s.long_ids.item(), s.boxes.tolist(), s.skipped, s.get('stream_state')) for s in samples] + [
        image.tolist() for image in batch['inputs']
    ]


@pytest.mark.parametrize('buffer', [0, 1, 4, 100])
def test_one_stream__every_sample_once_a_pass(tmp_path: Path, buffer: int) -> None:
    data = shards(write(tmp_path, 3, 4), shuffle_buffer=buffer, buffer_bytes=10_000)
    names = [name for batch in islice(batches(data), 8) for name in keys(batch)]
    ordered = [f's-{i}-{j}' for i in range(3) for j in range(4)]
    for one_pass in (names[:12], names[12:]):
        assert sorted(one_pass) == ordered or buffer == 100
        assert (one_pass == ordered) == (buffer == 0)
    assert Counter(names) == Counter(ordered * 2) or buffer == 100


@pytest.mark.parametrize(
    ('num_shards', 'num_ranks', 'workers'), [(4, 2, 2), (8, 2, 2), (1, 2, 0), (1, 3, 0), (2, 2, 3)]
)
def test_streams__share_out_a_pass_without_overlap(
    tmp_path: Path, num_shards: int, num_ranks: int, workers: int
) -> None:
    """Over a whole pass every sample comes once, whichever ranks and workers there are."""
    streams = num_ranks * max(1, workers)
    size = BATCH * streams // num_shards if num_shards < streams else BATCH
    names = write(tmp_path, num_shards, size)
    each = num_shards * size // num_ranks // BATCH
    seen: Counter[str] = Counter()
    for rank in range(num_ranks):
        for batch in islice(batches(shards(names, rank, num_ranks, shuffle_buffer=BATCH), workers), each):
            seen.update(keys(batch))
    assert len(seen) == num_shards * size and set(seen.values()) == {1}


def test_sources__are_mixed_by_weight(tmp_path: Path) -> None:
    sources = [dict(shards=write(tmp_path, 2, 50, 'a'), weight=3), dict(shards=write(tmp_path, 1, 50, 'b'))]
    drawn = Counter(name[0] for batch in islice(batches(shards(sources)), 200) for name in keys(batch))
    assert abs(drawn['a'] / drawn.total() - 0.75) < 0.05  # 2.8 standard deviations of 600 draws


def test_seed__decides_and_passes_differ(tmp_path: Path) -> None:
    names = write(tmp_path, 4, 6)
    one, same, other = ([keys(b) for b in islice(batches(shards(names, seed=s)), 16)] for s in (1, 1, 2))
    assert one == same != other
    assert one[:8] != one[8:]


@pytest.mark.parametrize('workers', [0, 2, 3])
def test_resume__any_batch_as_if_never_stopped(tmp_path: Path, workers: int) -> None:
    sources = [dict(shards=write(tmp_path, 5, 7, 'a'), weight=2), dict(shards=write(tmp_path, 1, 5, 'b'))]
    path = tmp_path / 'a-1.tar'
    path.write_bytes(path.read_bytes()[:4000])  # what is broken does not disturb it
    whole = list(islice(batches(shards(sources), workers), 26))
    streams = max(1, workers)
    for stop in (1, 2, 7, 13) if workers else range(1, 20):
        states = {b % streams: list(whole[b]['data_samples'][-1].stream_state) for b in range(stop)}
        data = shards(sources)
        data.resume(states)
        for expected, batch in zip(whole[stop : stop + 6], batches(data, workers, stop), strict=False):
            assert print_of(batch) == print_of(expected)


def test_resume__without_a_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='batch 5 was asked for where 0 is the next'):
        next(batches(shards(write(tmp_path, 1, 3)), skip=5))


def test_resume__with_other_sources_is_refused(tmp_path: Path) -> None:
    data = shards(write(tmp_path, 1, 3))
    data.resume({0: [1, 0, 3, 0, 1, 0, 1]})  # of two sources
    with pytest.raises(UserError, match='a place in 2 sources cannot be found in 1'):
        next(batches(data, skip=1))


# -- what cannot be used -------------------------------------------------------------------------------------------

IMAGE = shard_members(['x'])[0][1]
BAD: dict[str, tuple[list[tuple[str, Any]], str]] = {
    'no image': ([('b.json', record())], 'it needs a json and one of jpg, jpeg, png, webp, got json'),
    'no record': ([('b.png', IMAGE)], 'it needs a json and one of jpg, jpeg, png, webp, got png'),
    'text as an image': ([('b.jpg', b'text'), ('b.json', record())], r'b cannot be read \(cannot identify'),
    'empty image': ([('b.jpg', b''), ('b.json', record())], 'b cannot be read'),
    'record cut': ([('b.png', IMAGE), ('b.json', b'{"caption": "x')], 'its record is not valid JSON'),
    'record as a list': ([('b.png', IMAGE), ('b.json', b'[]')], 'a record must be an object, got list'),
    'record too deep': ([('b.png', IMAGE), ('b.json', b'[' * 100_000)], 'its record is not valid JSON'),
    'record too long': ([('b.png', IMAGE), ('b.json', b' ' * (1 << 21))], 'a record of 2097152 bytes, more than'),
    'no caption': ([('b.png', IMAGE), ('b.json', b'{}')], 'caption must be a text'),
    'upwards': ([('../b.png', IMAGE), ('../b.json', record())], 'leaves its folder'),
    'from the root': ([('/b.png', IMAGE), ('/b.json', record())], 'leaves its folder'),
}


@pytest.mark.parametrize('kind', BAD)
def test_bad_sample__is_passed_over_and_named(tmp_path: Path, kind: str) -> None:
    bad, message = BAD[kind]
    path = write_shard(tmp_path / 'a' / 's.tar', [*shard_members('a'), *bad, *shard_members('c')])
    before = sorted(tmp_path.rglob('*'))
    batch = next(batches(shards(str(path), shuffle_buffer=0)))
    assert keys(batch) == ['a', 'c', 'a']
    ((source, reason),) = batch['data_samples'][1].skipped
    assert source == f'{path}:{bad[0][0].rpartition(".")[0]}'
    with pytest.raises(BadRecord, match=message):
        raise BadRecord(reason)
    assert sorted(tmp_path.rglob('*')) == before  # nothing was written


@pytest.mark.parametrize('content', [b'', b'this is no tar' * 100, bytes(2048)])
def test_broken_shard__is_passed_over_and_named(tmp_path: Path, content: bytes) -> None:
    names = write(tmp_path, 2, 2)
    (tmp_path / 's-0.tar').write_bytes(content)
    batch = next(batches(shards(names, shuffle_buffer=0)))
    assert keys(batch) == ['s-1-0', 's-1-1', 's-1-0']
    assert [[source for source, _ in s.skipped] for s in batch['data_samples']] == [
        [f'{tmp_path}/s-0.tar'],
        [],
        [f'{tmp_path}/s-0.tar'],
    ]


def test_broken_shards_alone__end_the_run(tmp_path: Path) -> None:
    names = write(tmp_path, 2, 1)
    for path in tmp_path.glob('*.tar'):
        path.write_bytes(b'no tar')
    with pytest.raises(UserError, match=r'10 shards in a row are broken, the last .*s-\d\.tar: \w'):
        next(batches(shards(names)))


def test_more_streams_than_samples__ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='fewer samples than the 2 streams'):
        next(batches(shards(write(tmp_path, 1, 1), rank=1, num_ranks=2, shuffle_buffer=0)))


@pytest.mark.parametrize(
    ('sources', 'message'),
    [
        ([], 'there is none'),
        ([dict(weight=1)], 'expected dicts of shards and weight'),
        ([dict(shards='http://h/a.tar', weight=0)], 'a weight must be above 0, got 0'),
        ([dict(shards='http://h/a.tar', weight=float('nan'))], 'a weight must be above 0, got nan'),
        ([dict(shards='http://h/a.tar', share=2)], 'expected dicts of shards and weight'),
    ],
)
def test_sources__that_are_wrong(sources: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        RegionTextShards(sources, [])


def test_length__says_which_sampler(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'fgdet\.StreamSampler'):
        len(shards(write(tmp_path, 1, 1)))
