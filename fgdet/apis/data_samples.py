"""Samples of records with images or of shards, one after another or part by part in several processes."""

from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from PIL import Image
from torch.utils.data import DataLoader, Dataset

from fgdet.datasets.record_files import RecordFiles
from fgdet.datasets.region_text import image_path
from fgdet.datasets.shard_files import DAMAGE, expand_shards, shard_samples
from fgdet.datasets.shards import IMAGE_ENDINGS, open_sample
from fgdet.datasets.tar_samples import TarSample
from fgdet.datasets.transforms.image import FORMATS, MOST_PIXELS, LoadRegionTextImage, check_file
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.checks import UserError

#: Records in a part; a shard is a part of its own.
PART = 500
#: Endings of a file's name in lower case, by the name that Pillow has for its format.
ENDINGS = {
    'JPEG': ('jpg', 'jpeg', 'jpe', 'jfif'),
    'MPO': ('jpg', 'jpeg', 'jpe', 'jfif', 'mpo'),
    'PNG': ('png',),
    'WEBP': ('webp',),
    'GIF': ('gif',),
    'BMP': ('bmp', 'dib'),
    'TIFF': ('tif', 'tiff'),
}
Result = TypeVar('Result')


class Sample(NamedTuple):
    """A record and its image, or why there are none.

    Args:
        source: 'file:line', 'file[index]' or 'shard:key'.
        content: the record; None where it cannot be read.
        error: why not.
        image: the image's file, or its bytes in a shard; None where it is not looked at, or in a shard not there.
        image_name: the path in the record or the name in the shard.
        image_error: why ``image`` is None.
        is_damage: this is no sample, but says why the rest of a shard cannot be read.
    """

    source: str
    content: dict[str, Any] | None
    error: str | None = None
    image: Path | bytes | None = None
    image_name: str = ''
    image_error: str | None = None
    is_damage: bool = False


class Samples:
    """Records in files, or shards, in parts.

    Args:
        data: a records file or a folder of such files, or shards (see
            :func:`~fgdet.datasets.shard_files.expand_shards`), or a folder of them.
        images: the folder that the records' ``f_path`` are relative to; None: the images are not looked at. Shards hold
            their images.

    Raises:
        UserError: nothing is there, a path is wrong, or shards are given together with ``images``.
    """

    def __init__(self, data: str, images: str | None = None) -> None:
        self.data, self.images = data, Path(images) if images else None
        if images and not Path(images).is_dir():
            raise UserError(f'images {images}: no such folder')
        self.shards: list[str] = []
        if '.tar' in Path(data).name or (Path(data).is_dir() and any(Path(data).glob('*.tar'))):
            self.shards = expand_shards(str(Path(data) / '*.tar') if Path(data).is_dir() else data)
            if images:
                raise UserError(f'images {images}: shards hold their images; leave this out')
            return
        self.records = RecordFiles(data)
        if not len(self.records):
            raise UserError(f'records {data}: there is no record in it')

    @property
    def has_images(self) -> bool:
        """Whether the images can be looked at."""
        return bool(self.shards) or self.images is not None

    @property
    def num_parts(self) -> int:
        """How many parts there are: shards, or runs of :data:`PART` records."""
        return len(self.shards) or -(-len(self.records) // PART)

    def part(self, number: int) -> Iterator[Sample]:
        """The samples of a part in order."""
        if self.shards:
            shard = self.shards[number]
            yield from (_from_shard(shard, index, sample) for index, sample in shard_samples(shard, 0, 0, 1))
            return
        for position in range(number * PART, min((number + 1) * PART, len(self.records))):
            yield self._from_records(position)

    def sample(self, number: int, index: int) -> Sample:
        """A single sample of a part."""
        if not self.shards:
            return self._from_records(number * PART + index)
        found = shard_samples(self.shards[number], index, 0, 1)
        return _from_shard(self.shards[number], *next(islice(found, 1)))

    def map_parts(
        self,
        work: Callable[['Samples', int], Result],
        workers: int = 0,
        on_progress: Callable[[float, str], None] | None = None,
    ) -> Iterator[Result]:
        """What ``work`` gives for each part, in the order of the parts.

        Args:
            work: called with this and a part's number, in a worker process where there are any.
            workers: processes; 0 works in this one.
            on_progress: called with the share that is done and a line of text.
        """
        loader: Any = DataLoader(_Parts(self, work), batch_size=None, num_workers=workers, collate_fn=_as_it_is)
        for number, result in enumerate(loader, 1):
            if on_progress:
                on_progress(number / self.num_parts, f'part {number} of {self.num_parts}')
            yield result

    def _from_records(self, position: int) -> Sample:
        record = self.records[position]
        if record.content is None:
            return Sample(record.source, None, record.error)
        sample = Sample(record.source, record.content, image_name=str(record.content.get('f_path', '')))
        if self.images is None:
            return sample
        try:
            return sample._replace(image=image_path(record.content, self.images))
        except BadRecord as error:
            return sample._replace(image_error=str(error))


class _Parts(Dataset):
    def __init__(self, samples: Samples, work: Callable[[Samples, int], Any]) -> None:
        self.samples, self.work = samples, work

    def __len__(self) -> int:
        return self.samples.num_parts

    def __getitem__(self, number: int) -> Any:
        return self.work(self.samples, number)


def _as_it_is(result: Result) -> Result:
    return result


def _from_shard(shard: str, index: int, sample: TarSample) -> Sample:
    if index == DAMAGE:
        return Sample(shard, None, sample.error, is_damage=True)
    source = f'{shard}:{sample.key}'
    name = next((f'{sample.key}.{ending}' for ending in IMAGE_ENDINGS if ending in sample.members), '')
    try:
        content, image = open_sample(sample)
    except BadRecord as error:
        return Sample(source, None, str(error), image_name=name)
    if not isinstance(content, dict):
        return Sample(source, None, f'a record must be an object, got {type(content).__name__}', image_name=name)
    return Sample(source, content, image=image, image_name=name)


class ImageFacts(NamedTuple):
    """Format as Pillow names it, width and height in pixels."""

    format: str
    width: int
    height: int


def look_at_image(image: Path | bytes, name: str, decode: bool = True) -> ImageFacts:
    """What an image is, if training can read it.

    Args:
        image: its file or its bytes.
        name: how messages call it where it is no file.
        decode: read all of it, for only that finds one that was cut; otherwise its header alone.

    Raises:
        BadRecord: it is missing, cannot be read or is too large.
    """
    where = str(image) if isinstance(image, Path) else name
    if decode:
        LoadRegionTextImage()(dict(img_path=where) | ({} if isinstance(image, Path) else dict(img_bytes=image)))
    try:
        if isinstance(image, Path):
            check_file(where)
        with Image.open(image if isinstance(image, Path) else BytesIO(image), formats=FORMATS) as opened:
            facts = ImageFacts(str(opened.format), opened.width, opened.height)
    except BadRecord:
        raise
    except FileNotFoundError as error:
        raise BadRecord(f'image {where} does not exist') from error
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        raise BadRecord(f'image {where} cannot be read ({error})') from error
    if facts.width * facts.height > MOST_PIXELS:
        raise BadRecord(f'image {where} has {facts.width} x {facts.height} pixels')
    return facts
