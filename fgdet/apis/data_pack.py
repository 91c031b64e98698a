"""Records and images into WebDataset shards: the same bytes each time, whole ones only, on from where it stopped."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fgdet.apis.data_samples import PART, Samples, look_at_image
from fgdet.apis.data_verify import ERRORS, NUM_EXAMPLES, Findings, verify_sample
from fgdet.datasets.shard_writing import SHARD_ENDINGS, finished_shards, whole_shard
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json

#: The name of the file that says what the shards hold.
MANIFEST = 'pack.json'


class PackPlan(NamedTuple):
    """How shards are made.

    Args:
        prefix: shards are called ``<prefix>-000000.tar`` and so on.
        most_samples: samples of a shard.
        most_bytes: bytes of the images and records of a shard; a larger sample gets a shard of its own.
        decode: read images to their end, so that one that was cut is left out.
    """

    prefix: str = 'data'
    most_samples: int = 10_000
    most_bytes: int = 1 << 30
    decode: bool = False


def pack(
    records: str,
    images: str,
    out: str | Path,
    plan: PackPlan | None = None,
    on_progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Write shards of every record that training can use, with its image's bytes as they are.

    A sample's key is the record's number, its members are ``<key>.json`` and ``<key>.jpg`` (or png, webp, by what the
    image is). ``pack.json`` beside the shards says which records each shard holds and what was left out and why; with
    it a run that was ended goes on behind the last whole shard.

    Args:
        records: a records file, or a folder of such files.
        images: the folder that ``f_path`` is relative to; a path that leads out of it is left out.
        out: folder of the shards; it is made.
        plan: None takes the defaults.
        on_progress: called with the share that is done and a line of text.

    Returns:
        what ``pack.json`` holds: ``records``, ``samples``, ``bytes``, ``skipped`` (counts by reason), ``examples`` of
        them, and ``shards``.

    Raises:
        UserError: records or images are missing, none can be used, or ``out`` holds another pack.
        OSError: a shard cannot be written; the whole ones stay.
    """
    plan = plan or PackPlan()
    if not plan.prefix or Path(plan.prefix).name != plan.prefix:
        raise UserError(f'prefix {plan.prefix!r}: expected the beginning of a file name')
    samples, out = Samples(records, images), Path(out)
    if samples.shards:
        raise UserError(f'records {records}: these are shards already')
    total = len(samples.records)
    manifest = dict(made_of=_made_of(samples, plan), **_summary([]))
    done, _ = finished_shards(out / MANIFEST, manifest['made_of'])
    end = done[-1]['end'] if done else 0
    while end < total:
        number = sum(shard['samples'] > 0 for shard in done)
        done.append(_write_shard(out / f'{plan.prefix}-{number:06d}.tar', samples, end, plan))
        end = done[-1]['end']
        manifest |= _summary(done)
        if manifest['samples']:
            write_json(out / MANIFEST, manifest)
        if on_progress:
            on_progress(end / total, f'{end} of {total} records')
    manifest |= _summary(done)
    if not manifest['samples']:
        reasons = '; '.join(example[0] for example in manifest['examples'].values())
        raise UserError(f'records {records}: none of the {total} can be used ({reasons})')
    return manifest


def _made_of(samples: Samples, plan: PackPlan) -> dict[str, Any]:
    """What decides over the shards, as JSON has it."""
    files = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in samples.records.files]
    return dict(plan._asdict(), images=str(Path(samples.images or '').resolve()), files=files)


def _write_shard(path: Path, samples: Samples, first: int, plan: PackPlan) -> dict[str, Any]:
    """Write the next shard in one step; nothing, where no record is left that can be used."""
    left_out = Findings()
    count, size, position = 0, 0, first
    with whole_shard(path) as tar:
        while position < len(samples.records) and count < plan.most_samples:
            members = _members(samples, position, plan.decode, left_out)
            added = sum(map(len, members.values()))
            if count and size + added > plan.most_bytes:
                break
            tar.add(f'{position:09d}', members)
            count, size, position = count + bool(members), size + added, position + 1
    shard = dict(name=path.name if count else None, first=first, end=position, samples=count, bytes=size)
    return shard | dict(file_bytes=tar.file_bytes, skipped=dict(left_out.counts), examples=left_out.examples)


def _members(samples: Samples, position: int, decode: bool, left_out: Findings) -> dict[str, bytes]:
    """The record and the image by their endings; none where training could not use them."""
    sample = samples.sample(*divmod(position, PART))
    found = Findings()
    verify_sample(found, samples, sample, decode)
    reason = next((kind for kind in ERRORS if found.counts[kind]), None)
    if reason is None:
        assert isinstance(sample.image, Path)
        image = sample.image.read_bytes()
        facts = look_at_image(image, sample.source, decode=False)
        if facts.format in SHARD_ENDINGS:
            return {SHARD_ENDINGS[facts.format]: image, 'json': json.dumps(sample.content).encode()}
        reason = 'image-format'
        found.add(reason, sample.source, f'a shard cannot hold {facts.format}')
    left_out.merge(Findings(counts=Counter({reason: 1}), examples={reason: found.examples[reason]}))
    return {}


def _summary(shards: list[dict[str, Any]]) -> dict[str, Any]:
    """Totals over shards, and the shards."""
    skipped: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for shard in shards:
        skipped.update(shard['skipped'])
        for kind, some in shard['examples'].items():
            examples[kind] = (examples.get(kind, []) + some)[:NUM_EXAMPLES]
    totals = {key: sum(shard[key] for shard in shards) for key in ('samples', 'bytes')}
    records = shards[-1]['end'] if shards else 0
    return dict(records=records, **totals, skipped=dict(skipped), examples=examples, shards=shards)
