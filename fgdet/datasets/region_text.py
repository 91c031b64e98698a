"""Images with long and short captions and described regions: FineHARD records, good and bad."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from fgdet.datasets.record_files import Record, RecordFiles
from fgdet.registry import DATASETS
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.checks import UserError

#: How many bad records in a row end the search for a good one.
MOST_BAD_IN_A_ROW = 100
#: FineHARD's published paths start with this; the images are laid out without it (FG-CLIP, train_fgclip.py).
PUBLISHED_PREFIX = 'grit-20m/data-12m/'


@DATASETS.register_module()
class RegionTextDataset(Dataset):
    """Region-text samples from FineHARD-style records.

    A record holds ``f_path``, ``caption``, ``short_caption`` and ``bbox_info``, a list of ``bbox`` (x1, y1, x2, y2 and
    an optional score, normalised to 0..1), ``short_expr``, ``long_expr``, ``flag_short_neg`` and ``short_expr_negs``.
    A record that cannot be used is replaced by the next good one; the sample then names what was passed over and why
    (its meta field ``skipped``), so that the process that trains can count and log it.

    Args:
        records: a JSON file (one list, or one object a line), or a folder of them.
        image_root: folder that ``f_path`` is relative to.
        pipeline: transforms as configs or callables; they get ``img_path``, ``caption``, ``short_caption``, ``regions``
            (dicts of ``bbox``, ``short_expr``, ``long_expr``, ``negatives``), ``sample_key`` and ``rng``.
        seed: seed of the random choices in the pipeline.

    Raises:
        UserError: a path does not exist, or there is no record at all.
    """

    def __init__(self, records: str, image_root: str, pipeline: Sequence[Any], seed: int = 0) -> None:
        self.records = RecordFiles(records)
        if not len(self.records):
            raise UserError(f'records {records}: there is no record in it')
        if not Path(image_root).is_dir():
            raise UserError(f'image_root {image_root}: no such folder')
        self.image_root = Path(image_root)
        self.pipeline = Compose(pipeline)
        self.seed = seed
        self.metainfo: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """The sample at a position; positions from ``len(self)`` on are later passes with other random choices.

        Raises:
            UserError: many records in a row are bad.
        """
        nearby = range(position, position + min(MOST_BAD_IN_A_ROW, len(self)))
        return first_good((self._try(position, other) for other in nearby), self.pipeline)

    def _try(self, position: int, other: int) -> tuple[str, Callable[[], dict[str, Any]]]:
        record = self.records[other % len(self)]
        rng = np.random.default_rng([self.seed, position, other - position])
        return record.source, lambda: self.parse(record) | dict(rng=rng)

    def parse(self, record: Record) -> dict[str, Any]:
        """Check a record and bring it into the pipeline's form.

        Raises:
            BadRecord: a field is missing, empty or out of range.
        """
        if record.content is None:
            raise BadRecord(record.error or 'unreadable')
        results = parse_record(record.content)
        path = image_path(record.content, self.image_root)
        return results | dict(img_path=str(path), sample_key=record.source)


def image_path(content: dict[str, Any], image_root: Path) -> Path:
    """Where the image of a record lies, without the folders that FineHARD's published paths start with.

    Raises:
        BadRecord: ``f_path`` is no path, goes round in links, or leads out of ``image_root``.
    """
    name = content.get('f_path')
    if not isinstance(name, str) or not name.strip() or '\0' in name:
        raise BadRecord(f'f_path must be a path, got {name!r}')
    try:
        name.encode()  # half of a surrogate pair is no text, and cannot be written down
        path = (image_root / name.replace(PUBLISHED_PREFIX, '')).resolve()
    except (RuntimeError, OSError, UnicodeEncodeError) as error:  # others: a circle of links
        raise BadRecord(f'f_path {name!r} is no path ({error})') from error
    if not path.is_relative_to(image_root.resolve()):
        raise BadRecord(f'f_path {name} leaves the image folder')
    return path


def first_good(tries: Iterable[tuple[str, Callable[[], dict[str, Any]]]], pipeline: Callable[..., Any]) -> Any:
    """The first sample that can be made; its meta field ``skipped`` has what was passed over before, and why.

    Args:
        tries: the source of each record, and what gives its input of the pipeline or raises BadRecord.
        pipeline: makes the sample of it, or raises BadRecord.

    Raises:
        UserError: many in a row are bad.
    """
    skipped: list[tuple[str, str]] = []
    for source, make in tries:
        try:
            sample = pipeline(make())
        except BadRecord as error:
            skipped.append((source, str(error)))
            if len(skipped) == MOST_BAD_IN_A_ROW:
                break
            continue
        sample['data_samples'].set_metainfo({'skipped': tuple(skipped)})
        return sample
    source, reason = skipped[-1]
    raise UserError(f'{len(skipped)} records in a row are bad, the last {source}: {reason}')


def parse_record(content: Any) -> dict[str, Any]:
    """``caption``, ``short_caption`` and ``regions`` of a record, checked.

    Boxes are clipped to the image by at most a hundredth of its side; those further outside are bad.

    Raises:
        BadRecord: a field is missing, empty or out of range.
    """
    if not isinstance(content, dict):
        raise BadRecord(f'a record must be an object, got {type(content).__name__}')
    for field in ('caption', 'short_caption'):
        if not isinstance(content.get(field), str) or not content[field].strip():
            raise BadRecord(f'{field} must be a text that is not empty, got {content.get(field)!r}')
    regions = content.get('bbox_info') or []
    if not isinstance(regions, list):
        raise BadRecord(f'bbox_info must be a list, got {type(regions).__name__}')
    return dict(
        caption=content['caption'],
        short_caption=content['short_caption'],
        regions=[_parse_region(region, i) for i, region in enumerate(regions)],
    )


def _parse_region(region: Any, index: int) -> dict[str, Any]:
    where = f'bbox_info[{index}]'
    if not isinstance(region, dict):
        raise BadRecord(f'{where} must be an object, got {type(region).__name__}')
    bbox = region.get('bbox')
    try:
        box = np.asarray(bbox, dtype=np.float64)[:4]
    except (TypeError, ValueError, IndexError):
        box = np.empty(0)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise BadRecord(f'{where}.bbox must hold four numbers, got {bbox!r}')
    if (box < -0.01).any() or (box > 1.01).any():
        raise BadRecord(f'{where}.bbox must be normalised to 0..1, got {bbox!r}')
    box = box.clip(0, 1)
    if box[2] <= box[0] or box[3] <= box[1]:
        raise BadRecord(f'{where}.bbox must have x1 < x2 and y1 < y2, got {bbox!r}')
    short = region.get('short_expr')
    if not isinstance(short, str) or not short.strip():
        raise BadRecord(f'{where}.short_expr must be a text that is not empty, got {short!r}')
    long = region.get('long_expr')
    negatives = region.get('short_expr_negs') or {}
    values = list(negatives.values()) if isinstance(negatives, dict) else negatives
    if not isinstance(values, list):
        raise BadRecord(f'{where}.short_expr_negs must be an object of texts, got {type(values).__name__}')
    used = values if region.get('flag_short_neg') == 1 else []
    return dict(
        bbox=tuple(box.tolist()),
        short_expr=short,
        long_expr=long if isinstance(long, str) and long.strip() else short,
        negatives=[text for text in used if isinstance(text, str) and text.strip()],
    )
