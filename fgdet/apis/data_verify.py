"""What is wrong with training data: records, captions, boxes, images and duplicates, over any number of samples."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.apis.data_samples import ENDINGS, Sample, Samples, look_at_image
from fgdet.datasets.region_text import PUBLISHED_PREFIX, parse_record
from fgdet.structures.region_text_sample import BadRecord

#: What training would pass over. Each kind of finding with its meaning.
ERRORS = {
    'shard': 'shards that cannot be read to their end',
    'record': 'records that cannot be read',
    'path': 'image paths that are none or leave the folder',
    'missing-image': 'images that do not exist',
    'image-name': 'images that lie under another name',
    'broken-image': 'images that cannot be read, or are too large',
    'caption': 'captions that are missing or empty',
    'box': 'boxes that are no box, or lie outside of the image',
    'phrase': 'regions without a phrase, or with negatives that are no texts',
}
#: What training reads all the same.
NOTICES = {
    'image-format': 'images whose ending is that of another format',
    'negative': 'hard negatives that equal the phrase of their region',
    'duplicate-record': 'records that came before',
    'duplicate-path': 'image paths that came before',
    'duplicate-caption': 'captions that came before',
}
_DUPLICATES = [kind for kind in NOTICES if kind.startswith('duplicate')]
#: Examples that are kept of each kind.
NUM_EXAMPLES = 5


@dataclass
class Findings:
    """What was found.

    Args:
        samples: how many were looked at.
        usable: how many of them training can use.
        counts: findings of each kind, see :data:`ERRORS` and :data:`NOTICES`; a sample may have several.
        examples: for each kind the first few, as 'source: what is wrong'.
    """

    samples: int = 0
    usable: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, source: str, what: str) -> None:
        """Count a finding."""
        self.counts[kind] += 1
        self._keep(kind, [f'{source}: {what}'])

    def merge(self, other: 'Findings') -> None:
        """Add what was found in the samples that follow."""
        self.samples += other.samples
        self.usable += other.usable
        self.counts.update(other.counts)
        for kind, examples in other.examples.items():
            self._keep(kind, examples)

    @property
    def num_errors(self) -> int:
        """How many findings keep a sample from training."""
        return sum(self.counts[kind] for kind in ERRORS)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: every kind, also those that were not found."""
        counts = {kind: self.counts[kind] for kind in (*ERRORS, *NOTICES)}
        return dict(
            samples=self.samples, usable=self.usable, errors=self.num_errors, counts=counts, examples=self.examples
        )

    def _keep(self, kind: str, examples: list[str]) -> None:
        kept = self.examples.setdefault(kind, [])
        kept += examples[: NUM_EXAMPLES - len(kept)]


def verify(
    samples: Samples,
    decode: bool = True,
    workers: int = 0,
    on_progress: Callable[[float, str], None] | None = None,
) -> Findings:
    """Look at every sample; memory grows by 24 bytes a sample, for duplicates are found by 64-bit hashes.

    Args:
        samples: what to look at.
        decode: read images to their end; otherwise their headers alone, many times faster.
        workers: processes besides this one; 0 works in this one.
        on_progress: called with the share that is done and a line of text.
    """
    findings = Findings()
    hashes, sizes = [np.empty((0, len(_DUPLICATES)), np.uint64)], []
    for part, part_hashes in samples.map_parts(partial(_verify_part, decode), workers, on_progress):
        findings.merge(part)
        hashes.append(part_hashes)
        sizes.append(len(part_hashes))
    columns = np.concatenate(hashes)  # (N, 3)
    starts = np.cumsum([0, *sizes])
    for kind, column in zip(_DUPLICATES, columns.T, strict=True):
        again = _repeats(column)
        findings.counts[kind] += len(again)
        for position, first in again[:NUM_EXAMPLES].tolist():
            sources = [_sample_at(samples, starts, number).source for number in (position, first)]
            findings.examples.setdefault(kind, []).append(f'{sources[0]}: as {sources[1]}')
    findings.counts += Counter()  # without zeros
    return findings


def _sample_at(samples: Samples, starts: np.ndarray, position: int) -> Sample:
    part = int(np.searchsorted(starts, position, 'right')) - 1
    return samples.sample(part, position - int(starts[part]))


def _repeats(column: np.ndarray) -> np.ndarray:
    """(K, 2): positions whose value came before, in order, each with the first one that has it; 0 is no value."""
    order = np.argsort(column, kind='stable')
    ordered = column[order]
    starts_run = np.append(True, ordered[1:] != ordered[:-1]) if len(ordered) else np.empty(0, bool)
    first = order[np.maximum.accumulate(np.where(starts_run, np.arange(len(order)), 0))]
    again = ~starts_run & (ordered != 0)
    pairs = np.stack([order[again], first[again]], 1)
    return pairs[np.argsort(pairs[:, 0])]


def _verify_part(decode: bool, samples: Samples, number: int) -> tuple[Findings, np.ndarray]:
    """Findings of a part, and (n, 3) hashes of its records, paths and captions."""
    findings, hashes = Findings(), []
    for sample in samples.part(number):
        if sample.is_damage:
            findings.add('shard', sample.source, sample.error or '')
            continue
        hashes.append(_hashes(sample))
        verify_sample(findings, samples, sample, decode)
    return findings, np.array(hashes, np.uint64).reshape(-1, len(_DUPLICATES))


def verify_sample(findings: Findings, samples: Samples, sample: Sample, decode: bool) -> None:
    """Look at one of ``samples`` alone and add what is found."""
    before = findings.num_errors
    if sample.content is None:
        findings.add('record', sample.source, sample.error or '')
    else:
        _verify_content(findings, sample, sample.content)
        if samples.has_images:
            _verify_image(findings, samples, sample, decode)
    findings.samples += 1
    findings.usable += findings.num_errors == before


def _hashes(sample: Sample) -> list[int]:
    if sample.content is None:
        return [0, 0, 0]
    values = (sample.content, sample.content.get('f_path'), sample.content.get('caption'))
    return [_hash(value) if value else 0 for value in values]


def _hash(value: Any) -> int:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    digest = hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=8).digest()
    return int.from_bytes(digest, 'little') or 1


def _verify_content(findings: Findings, sample: Sample, content: dict[str, Any]) -> None:
    """Check captions and each region by the rules of training."""
    good = dict(caption='.', short_caption='.', bbox_info=[])
    for name in ('caption', 'short_caption'):
        _try_record(findings, sample, good | {name: content.get(name)})
    regions = content.get('bbox_info')
    if regions and not isinstance(regions, list):
        _try_record(findings, sample, good | dict(bbox_info=regions))
        return
    for index, region in enumerate(regions or []):
        parsed = _try_record(findings, sample, good | dict(bbox_info=[region]), index)
        if parsed is not None:
            phrase, negatives = parsed['regions'][0]['short_expr'], parsed['regions'][0]['negatives']
            if phrase in negatives:
                findings.add('negative', sample.source, f'bbox_info[{index}].short_expr_negs holds {phrase!r}')


def _try_record(findings: Findings, sample: Sample, content: dict[str, Any], index: int = 0) -> dict[str, Any] | None:
    try:
        return parse_record(content)
    except BadRecord as error:
        what = str(error).replace('bbox_info[0]', f'bbox_info[{index}]')
    kind = 'caption' if 'caption must' in what else 'box' if '.bbox must' in what else 'phrase'
    findings.add(kind, sample.source, what)
    return None


def _verify_image(findings: Findings, samples: Samples, sample: Sample, decode: bool) -> None:
    if sample.image is None:
        findings.add('path', sample.source, sample.image_error or 'there is no image')
        return
    if isinstance(sample.image, Path) and _is_missing(sample.image):
        other = _other_name(samples, sample.image, sample.image_name)
        kind, hint = ('image-name', f'; there is {other}') if other else ('missing-image', '')
        findings.add(kind, sample.source, f'image {sample.image} does not exist{hint}')
        return
    try:
        facts = look_at_image(sample.image, sample.source, decode)
    except BadRecord as error:
        findings.add('broken-image', sample.source, str(error))
        return
    ending = Path(sample.image_name).suffix.lower().removeprefix('.')
    if ending not in ENDINGS.get(facts.format, (ending,)):
        findings.add('image-format', sample.source, f'{sample.image_name} is {facts.format}')


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError:  # too long a name, or a folder that is closed to us: reading the image says so
        return False


def _other_name(samples: Samples, path: Path, name: str) -> Path | None:
    """Where the image lies instead: under the published prefix, or with another ending or its capitals."""
    endings = [ending for known in ENDINGS.values() for ending in known]
    others = [path.with_suffix(f'.{each}') for ending in endings for each in (ending, ending.upper())]
    if samples.images is not None and PUBLISHED_PREFIX in name:
        others.insert(0, samples.images / name)
    return next((other for other in others if other.is_file()), None)
