"""Region-text samples streamed from tar shards, resumable at the sample.

The reader is our own: the ``webdataset`` library cannot go on at the very sample where a run was killed.
"""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from torch.utils.data import Dataset, get_worker_info

from fgdet.datasets.record_files import MOST_BYTES
from fgdet.datasets.region_text import first_good, parse_record
from fgdet.datasets.shard_files import DAMAGE, expand_shards, shard_samples
from fgdet.datasets.tar_samples import TarSample
from fgdet.registry import DATASETS
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.checks import UserError

#: How many shards in a row may have no sample for a stream.
_MOST_IDLE = 1000
#: How many shards in a row may be broken, of which a remote one takes its time: else nothing is told for hours.
_MOST_BROKEN = 10
#: What the image of a sample may be.
IMAGE_ENDINGS = ('jpg', 'jpeg', 'png', 'webp')
# What a random choice is for: one of these comes first in the seed of its generator.
_ORDER, _BLOCK, _SAMPLE = range(3)


class Source(NamedTuple):
    """Shards that are read as one, and how often they are drawn from, relative to the others."""

    shards: tuple[str, ...]
    weight: float


class Entry(NamedTuple):
    """A sample of a shard as it lies there, and numbers that are its own in this pass over it."""

    source: str
    origin: tuple[int, int, int]
    sample: TarSample


@DATASETS.register_module()
class RegionTextShards(Dataset):
    """Region-text samples from WebDataset shards: ``key.jpg`` (or jpeg, png, webp) and ``key.json``, one record each.

    Every rank and worker reads a stream of its own, endlessly. In each pass over a source its shards are shuffled and
    dealt out to the streams; where there are fewer shards than streams, several streams share each shard. A stream
    draws samples from the sources by their weights until a block of ``shuffle_buffer`` is full, and gives them in
    random order. All of it is a function of the seed and of where the block begins, so a few integers say where a
    stream is: each batch's last sample carries those of its stream as the meta field ``stream_state``, and
    :class:`~fgdet.engine.hooks.DataPositionHook` brings them into the checkpoint and back.

    It needs ``sampler=dict(type='fgdet.StreamSampler')``. What cannot be used (a broken shard, a record, an image) is
    passed over and named in the meta field ``skipped``, as in :class:`~fgdet.datasets.region_text.RegionTextDataset`.

    Args:
        sources: the shards' names (see :func:`~fgdet.datasets.shard_files.expand_shards`), or a list of dicts of
            ``shards`` and ``weight``, the share of samples drawn from them.
        pipeline: transforms as configs or callables, as for ``RegionTextDataset``; instead of being in a file the image
            is in ``img_bytes``.
        shuffle_buffer: samples of a block, still encoded; 0 keeps the order of the shards and of what is in them.
        buffer_bytes: a block that holds as many bytes is full.
        seed: seed of all random choices.

    Raises:
        UserError: a shard is missing or a weight is not above 0.
    """

    def __init__(
        self,
        sources: str | Sequence[str] | Sequence[dict[str, Any]],
        pipeline: Sequence[Any],
        shuffle_buffer: int = 1000,
        buffer_bytes: int = 512 << 20,
        seed: int = 0,
    ) -> None:
        self.sources = _sources(sources)
        self.pipeline = Compose(pipeline)
        self.shuffle_buffer = shuffle_buffer
        self.buffer_bytes = buffer_bytes
        self.seed = seed
        self.rank, self.world_size = get_dist_info()  # in a worker they are not known
        self.metainfo: dict[str, Any] = {}
        self._resumed: dict[int, list[int]] = {}
        self._streams: dict[int, _Stream] = {}

    def __len__(self) -> int:
        raise UserError("RegionTextShards has no length: give it sampler=dict(type='fgdet.StreamSampler')")

    def __getitems__(self, positions: list[int]) -> list[dict[str, Any]]:
        """The next batch of this worker's stream; positions, as StreamSampler gives them, only say which batch it is.

        Raises:
            UserError: many records in a row are bad, or the batch is not the next one.
        """
        batch = positions[0] // self.world_size // len(positions)
        worker = get_worker_info()
        stream = self._stream(batch, worker.num_workers if worker else 1)
        samples = [self._next_sample(stream) for _ in positions]
        stream.batch += worker.num_workers if worker else 1
        samples[-1]['data_samples'].set_metainfo({'stream_state': stream.state()})
        return samples

    def resume(self, states: dict[int, list[int]]) -> None:
        """Go on with these ``stream_state`` s of the rank's streams, by number, before the next iterator is made."""
        self._resumed, self._streams = states, {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | dict(_streams={})  # each worker opens its own

    def _stream(self, batch: int, num_streams: int) -> '_Stream':
        """The stream of a batch: batches go round the streams of a rank, as they go round the workers."""
        number = batch % num_streams
        stream = self._streams.get(number)
        if stream is None or stream.batch != batch:
            place = self.rank * num_streams + number
            stream = _Stream(self, place, self.world_size * num_streams, self._resumed.get(number, [number]))
            self._streams[number] = stream
        if stream.batch != batch:
            raise UserError(
                f'shards can only be read in order: batch {batch} was asked for where {stream.batch} is the next; add '
                "dict(type='fgdet.DataPositionHook') to custom_hooks, or start anew with load_from instead of resume"
            )
        return stream

    def _next_sample(self, stream: '_Stream') -> dict[str, Any]:
        tries = ((entry.source, partial(self.parse, entry)) for entry in stream)
        return first_good(tries, self.pipeline)

    def parse(self, entry: Entry) -> dict[str, Any]:
        """Check a sample of a shard and bring it into the pipeline's form.

        Raises:
            BadRecord: the sample is broken, lacks its image or record, or a field of the record is bad.
        """
        content, image = open_sample(entry.sample)
        rng = np.random.default_rng([self.seed, _SAMPLE, *entry.origin])
        return parse_record(content) | dict(img_path=entry.source, img_bytes=image, sample_key=entry.source, rng=rng)


def open_sample(sample: TarSample) -> tuple[Any, bytes]:
    """The record of a shard's sample, not checked yet, and its encoded image.

    Raises:
        BadRecord: the sample is broken, or lacks its image or record.
    """
    members = sample.members
    if sample.error is not None:
        raise BadRecord(sample.error)
    image = next((members[name] for name in IMAGE_ENDINGS if name in members), None)
    if image is None or 'json' not in members:
        endings = ', '.join(IMAGE_ENDINGS)
        raise BadRecord(f'it needs a json and one of {endings}, got {", ".join(members) or "nothing"}')
    if len(members['json']) > MOST_BYTES:
        raise BadRecord(f'a record of {len(members["json"])} bytes, more than the {MOST_BYTES} allowed')
    try:
        return json.loads(members['json'].decode('utf-8', errors='replace')), image
    except (ValueError, RecursionError) as error:
        raise BadRecord(f'its record is not valid JSON ({error})') from error


def _sources(given: Any) -> list[Source]:
    plain = isinstance(given, str) or any(isinstance(each, str) for each in given)
    sources = []
    for each in [dict(shards=given)] if plain else given:
        if not isinstance(each, dict) or not {'shards'} <= set(each) <= {'shards', 'weight'}:
            raise UserError(f'sources: expected dicts of shards and weight, got {each!r}')
        weight = each.get('weight', 1.0)
        if not isinstance(weight, int | float) or not 0 < weight < float('inf'):
            raise UserError(f'sources: a weight must be above 0, got {weight!r} for {each["shards"]!r}')
        sources.append(Source(tuple(expand_shards(each['shards'])), float(weight)))
    if not sources:
        raise UserError('sources: there is none')
    return sources


class _Stream:
    """One worker's endless entries.

    Args:
        data: its sources, seed and sizes.
        place: number of this stream among all.
        num_streams: streams of all ranks.
        state: the next batch's number, then the number of its block and how many of it are given, then for each source
            the turn (which of the shards that fall to this stream, counted over all passes) and the number of the next
            sample of it, both as they were before the block; of a new stream the batch alone.
    """

    def __init__(self, data: RegionTextShards, place: int, num_streams: int, state: Sequence[int]) -> None:
        self.data, self.place, self.num_streams = data, place, num_streams
        count = 2 * len(data.sources)
        self.batch, self._number, given, *positions = state if len(state) > 1 else [*state, *[0] * (2 + count)]
        if len(positions) != count:
            raise UserError(f'shards: a place in {len(positions) // 2} sources cannot be found in {count // 2}')
        self._positions = [(turn, first) for turn, first in zip(positions[::2], positions[1::2], strict=True)]
        self._readers = [self._read(i) for i in range(len(data.sources))]
        self._weights = np.array([source.weight for source in data.sources])
        self._weights /= self._weights.sum()
        self._fill()
        self._given = given

    def state(self) -> tuple[int, ...]:
        """Where the stream is, to make it anew from."""
        return (self.batch, self._number, self._given, *(each for pair in self._begin for each in pair))

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        if self._given == len(self._block):
            self._number += 1
            self._fill()
        entry = self._block[self._given]
        self._block[self._given] = None
        self._given += 1
        assert entry is not None
        return entry

    def _fill(self) -> None:
        """Read the block that begins at the present positions."""
        self._begin, self._given = list(self._positions), 0
        rng = np.random.default_rng([self.data.seed, _BLOCK, self.place, self._number])
        block: list[Entry | None] = []
        size = 0
        while not block or (len(block) < self.data.shuffle_buffer and size < self.data.buffer_bytes):
            entry = next(self._readers[rng.choice(len(self._readers), p=self._weights)])
            size += sum(map(len, entry.sample.members.values()))
            block.append(entry)
        self._block = [block[i] for i in rng.permutation(len(block))]

    def _read(self, source: int) -> Iterator[Entry]:
        """Entries of a source from its position on, which each entry moves."""
        shards = self.data.sources[source].shards
        parts = -(-self.num_streams // len(shards))  # of each shard, so that each stream gets some
        turn, first = self._positions[source]
        idle = broken = 0
        while idle < _MOST_IDLE:
            place = self.place + turn * self.num_streams
            number, part = divmod(self._deal(source, place, len(shards) * parts), parts)
            for index, sample in shard_samples(shards[number], first, part, parts):
                self._positions[source], idle = (turn, index + 1), -1
                broken = broken + 1 if index == DAMAGE else 0
                if broken == _MOST_BROKEN:
                    raise UserError(f'{broken} shards in a row are broken, the last {shards[number]}: {sample.error}')
                name = f'{shards[number]}:{sample.key}' if sample.key else shards[number]
                yield Entry(name, (source, place, index), sample)
            turn, first, idle = turn + 1, 0, idle + 1
        raise UserError(f'shards {shards[0]} ...: fewer samples than the {self.num_streams} streams that read them')

    def _deal(self, source: int, place: int, count: int) -> int:
        """Which of the ``count`` parts of shards lies at a place, if each pass over them has an order of its own."""
        turn, index = divmod(place, count)
        if not self.data.shuffle_buffer:
            return index
        return int(_order(self.data.seed, source, turn, count)[index])


@lru_cache(maxsize=32)
def _order(seed: int, source: int, turn: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, _ORDER, source, turn]).permutation(count)
