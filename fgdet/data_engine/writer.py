"""Finished records as FineHARD's JSON and tar shards, with a manifest: the same records give the same bytes."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageOps

from fgdet.data_engine.image_record import ImageRecord, Region
from fgdet.data_engine.pipeline import Lost
from fgdet.datasets.record_files import MOST_BYTES
from fgdet.datasets.region_text import parse_record
from fgdet.datasets.shard_writing import SHARD_ENDINGS, whole_shard
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json, sha256_of, whole_file, write_json, write_text

MANIFEST, FAILURES, DROPPED = 'manifest.json', 'failures.jsonl', 'dropped.jsonl'
#: What is known of the shards that were written, so that an ended run goes on behind them.
_SHARDS = 'stages/shards.json'
#: Of an image that is written upright because its file lies on its side.
_QUALITY = 95


class WritePlan(NamedTuple):
    """How records are written.

    Args:
        prefix: shards are called ``<prefix>-000000.tar`` and so on.
        shard_samples: most samples of a shard.
        shard_bytes: most bytes of the images and records of a shard; a larger sample gets a shard of its own.
        as_list: one JSON list, ``records.json``, in place of an object a line, ``records.jsonl``.
    """

    prefix: str = 'data'
    shard_samples: int = 10_000
    shard_bytes: int = 1 << 30
    as_list: bool = False


class _Ready(NamedTuple):
    """A record as it is written."""

    record: ImageRecord
    line: bytes

    @property
    def size(self) -> int:
        return len(self.line) + self.record.provenance['image']['bytes']


class Writer:
    """Writes a data set into a folder.

    ``manifest.json`` is written last and taken away first, so where it lies everything is whole. Shards whose samples
    are those of an earlier run stay as they are.

    Args:
        out: the folder; it is made.
        images: the folder that the records' paths are relative to.
        plan: None takes the defaults.
        on_progress: called with the samples that are written and a line of text.
    """

    def __init__(
        self,
        out: str | Path,
        images: str | Path,
        plan: WritePlan | None = None,
        on_progress: Callable[[int, str], None] = lambda done, line: None,
    ) -> None:
        self.out, self.images, self.plan = Path(out), Path(images), plan or WritePlan()
        self.on_progress = on_progress
        self.counts: Counter[str] = Counter()
        self._inputs = hashlib.sha256()
        self._lost: list[Lost] = []

    def write(self, records: Iterable[ImageRecord], lost: Iterable[Lost], facts: dict[str, Any]) -> dict[str, Any]:
        """Write records, shards, lists of what was lost, and the manifest.

        Args:
            records: that came through the stages; what training cannot use is among the failures.
            lost: that did not.
            facts: what the manifest says besides, such as stages and seed; no times and no absolute paths.

        Returns:
            what the manifest holds.

        Raises:
            UserError: no record can be used, or an image is not what it was when it was read first.
            OSError: a file cannot be written; the whole shards stay.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        for path in (self.out / MANIFEST, *self.out.glob('.*.tmp')):
            path.unlink(missing_ok=True)
        before = read_json(self.out / _SHARDS, 'shards') if (self.out / _SHARDS).exists() else {}
        name = 'records.json' if self.plan.as_list else 'records.jsonl'
        outputs = self._write_shards(records, name, before)
        everything = [*lost, *self._lost]
        if not self.counts['records']:
            reasons = Counter(f'{each.stage}: {each.reason}' for each in everything).most_common(1)
            raise UserError(f'out {self.out}: none of {len(everything)} images came through ({reasons[0][0]})')
        for file, rows in (
            (FAILURES, [_row(each) | dict(again=each.again) for each in everything if not each.dropped]),
            (DROPPED, [_row(each) for each in everything if each.dropped]),
        ):
            write_text(self.out / file, ''.join(json.dumps(row) + '\n' for row in rows))
            outputs[file] = dict(bytes=(self.out / file).stat().st_size, sha256=sha256_of(self.out / file))
        for stale in set(before) - set(outputs):
            (self.out / stale).unlink(missing_ok=True)
        lost_by = dict(
            failed=_counted(each.stage for each in everything if not each.dropped),
            dropped=_counted(f'{each.stage}: {each.reason.split(":")[0]}' for each in everything if each.dropped),
        )
        manifest = facts | dict(
            counts=dict(sorted(self.counts.items())) | lost_by,
            images_sha256=self._inputs.hexdigest(),
            outputs=outputs,
        )
        (self.out / ('records.jsonl' if self.plan.as_list else 'records.json')).unlink(missing_ok=True)
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        write_text(self.out / MANIFEST, text + '\n')
        return manifest

    def _write_shards(self, records: Iterable[ImageRecord], name: str, before: dict[str, Any]) -> dict[str, Any]:
        """Write the records file and the shards; returns bytes and hashes by file name."""
        known: dict[str, Any] = {}
        with whole_file(self.out / name) as file:
            file.write(b'[\n' if self.plan.as_list else b'')
            for number, group in enumerate(self._groups(records)):
                if number and self.plan.as_list:
                    file.write(b',\n')
                file.write((b',\n' if self.plan.as_list else b'\n').join(each.line for each in group))
                file.write(b'' if self.plan.as_list else b'\n')
                shard = f'{self.plan.prefix}-{number:06d}.tar'
                known[shard] = self._write_shard(self.out / shard, group, before.get(shard))
                write_json(self.out / _SHARDS, before | known)
                self.on_progress(self.counts['records'], f'{self.counts["records"]} records, {number + 1} shards')
            file.write(b'\n]\n' if self.plan.as_list else b'')
        write_json(self.out / _SHARDS, known)
        outputs = {shard: {key: facts[key] for key in facts if key != 'made_of'} for shard, facts in known.items()}
        return outputs | {name: dict(bytes=(self.out / name).stat().st_size, sha256=sha256_of(self.out / name))}

    def _groups(self, records: Iterable[ImageRecord]) -> Iterator[list[_Ready]]:
        """The samples of each shard; a function of the records alone."""
        group: list[_Ready] = []
        size = 0
        for record in records:
            try:
                ready = _ready(record)
            except BadRecord as error:
                self._lost.append(Lost(record.key, record.path, 'write', str(error)))
                continue
            self._count(record)
            if group and (len(group) == self.plan.shard_samples or size + ready.size > self.plan.shard_bytes):
                yield group
                group, size = [], 0
            group.append(ready)
            size += ready.size
        if group:
            yield group

    def _count(self, record: ImageRecord) -> None:
        facts = record.provenance['image']
        self._inputs.update(f'{facts["sha256"]}  {record.path}\n'.encode())
        self.counts.update(
            records=1,
            regions=len(record.regions),
            negatives=sum(len(region.negatives) for region in record.regions),
            records_with_regions=bool(record.regions),
            turned_upright='orientation' in facts,
        )

    def _write_shard(self, path: Path, group: list[_Ready], before: dict[str, Any] | None) -> dict[str, Any]:
        digest = hashlib.sha256()
        for record, line in group:
            digest.update(f'{record.key} {record.provenance["image"]["sha256"]}\n'.encode() + line + b'\n')
        made_of = digest.hexdigest()
        if before and before['made_of'] == made_of and path.is_file() and path.stat().st_size == before['bytes']:
            return before
        with whole_shard(path) as shard:
            for record, line in group:
                shard.add(record.key, {_ending(record): self._image(record), 'json': line})
        return dict(made_of=made_of, samples=len(group), bytes=shard.file_bytes, sha256=sha256_of(path))

    def _image(self, record: ImageRecord) -> bytes:
        """The bytes of the image as they are, or of an upright one: training does not turn images."""
        facts, path = record.provenance['image'], self.images / record.path
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != facts['sha256']:
            raise UserError(f'image {path}: it has changed since it was read first; start again')
        if 'orientation' not in facts:
            return data
        upright = BytesIO()
        with Image.open(BytesIO(data), formats=[facts['format'].replace('MPO', 'JPEG')]) as image:
            form = 'JPEG' if facts['format'] == 'MPO' else facts['format']
            ImageOps.exif_transpose(image).save(upright, form, quality=_QUALITY, lossless=form != 'JPEG')
        return upright.getvalue()


def finehard_record(record: ImageRecord) -> dict[str, Any]:
    """A record in FineHARD's form: boxes x1, y1, x2, y2 normalised to 0..1 and their score, phrases and negatives.

    ``key`` and ``provenance`` (what made each part) stand beside its own fields.
    """
    return dict(
        key=record.key,
        f_path=record.path,
        caption=record.caption,
        short_caption=record.short_caption,
        bbox_info=[_bbox_info(region, record.width, record.height) for region in record.regions],
        provenance=record.provenance,
    )


def _bbox_info(region: Region, width: int, height: int) -> dict[str, Any]:
    sides = (width, height, width, height)
    box = [round(min(max(value / side, 0.0), 1.0), 6) for value, side in zip(region.box, sides, strict=True)]
    return dict(
        bbox=[*box, round(region.score, 6)],
        short_expr=region.phrase.text,
        long_expr=region.phrase.text,
        flag_short_neg=int(bool(region.negatives)),
        short_expr_negs={str(i): negative.text for i, negative in enumerate(region.negatives)},
    )


def _ready(record: ImageRecord) -> _Ready:
    content = finehard_record(record)
    parse_record(content)
    line = json.dumps(content, sort_keys=True, allow_nan=False).encode()
    if len(line) > MOST_BYTES:
        raise BadRecord(f'it has {len(line)} bytes, more than the {MOST_BYTES} that are read')
    return _Ready(record, line)


def _ending(record: ImageRecord) -> str:
    return SHARD_ENDINGS[record.provenance['image']['format']]


def _row(lost: Lost) -> dict[str, Any]:
    return dict(key=lost.key, path=lost.path, stage=lost.stage, reason=lost.reason)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
