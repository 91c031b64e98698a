"""Which images there are: a folder listed in the same order each time, with given boxes of COCO-form annotations."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.stage import Failure
from fgdet.datasets.coco_records import read_coco
from fgdet.datasets.shard_writing import SHARD_ENDINGS
from fgdet.datasets.transforms.image import FORMATS, MOST_PIXELS, check_file
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.checks import UserError
from fgdet.utils.image_paths import name_of_image

#: Endings of what is taken for an image; other files are passed over.
ENDINGS = {'.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff'}
_ORIENTATION = 0x0112
_MOST_KEY = 80


class Listing(NamedTuple):
    """What a folder holds.

    Args:
        records: of images in the order of their paths; ``provenance['file']`` has bytes and time of change, so that a
            changed file is known.
        failures: images whose names cannot be written down.
        passed_over: other files, and those that are hidden.
        without_image: names in the annotations for which there is no image.
        licences: of the annotations: how many images each has, by its name and address.
    """

    records: list[ImageRecord]
    failures: list[Failure]
    passed_over: int
    without_image: list[str]
    licences: dict[str, int]


def list_images(images: str | Path, annotations: str | Path | None = None, limit: int | None = None) -> Listing:
    """List the images of a folder and its subfolders, sorted by path.

    Links are followed, but not round in circles; hidden files and folders are passed over.

    Args:
        images: the folder.
        annotations: COCO-form; crowds and boxes without area are left out. An image is found by ``file_name``, or by
            the last part of it.
        limit: only the first so many images.

    Raises:
        UserError: no such folder, no image in it, bad annotations, or annotations that are of none of the images.
    """
    folder = Path(images)
    if not folder.is_dir():
        raise UserError(f'images {images}: no such folder')
    paths, passed_over = [], 0
    for path in _walk(str(folder), '', frozenset()):
        if os.path.splitext(path)[1].lower() in ENDINGS and not os.path.basename(path).startswith('.'):
            paths.append(path)
        else:
            passed_over += 1
    if not paths:
        raise UserError(f'images {images}: no image in this folder ({passed_over} other files)')
    given = _Annotations(annotations) if annotations else None
    records, failures = [], []
    for path in sorted(paths)[:limit]:
        key = image_key(path)
        try:
            path.encode()
        except UnicodeEncodeError:
            failures.append(Failure(key, f'its name {path!r} is not UTF-8; rename it'))
            continue
        record = ImageRecord(key, path)
        try:
            status = os.stat(folder / path)
            record.provenance['file'] = dict(bytes=status.st_size, mtime_ns=status.st_mtime_ns)
        except OSError as error:  # a broken link: reading it says so
            record.provenance['file'] = dict(error=error.strerror)
        if given:
            given.add_to(record)
        records.append(record)
    _check_keys(records)
    if given and records and not given.used:
        raise UserError(f'annotations {annotations}: they are of none of the {len(paths)} images in {images}')
    without = given.unused(paths) if given else []
    return Listing(records, failures, passed_over, without, given.licences if given else {})


def image_key(path: str) -> str:
    """The key of an image, a function of its path alone, so that other images coming or going change nothing.

    ``a/b.jpg`` is ``a_b-`` and ten hexadecimal digits of the SHA-256 of its path; ``b.jpg`` of letters, digits, ``_``
    and ``-`` is ``b``.
    """
    stem = os.path.splitext(path)[0]
    safe = re.sub('[^A-Za-z0-9_-]+', '_', stem)
    if path == f'{safe}.jpg' and len(safe) <= _MOST_KEY:
        return safe
    return f'{safe[:_MOST_KEY]}-{hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:10]}'


class ReadImages:
    """The first stage of every build: size, format and SHA-256 of each image, or why it cannot be used.

    Args:
        images: the folder that the records' paths are relative to.
    """

    name = 'images'
    batch_size = 16

    def __init__(self, images: str | Path) -> None:
        self.images = Path(images)

    def settings(self) -> dict[str, Any]:
        return dict(version=1)

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        return [self._read(record) for record in records]

    def _read(self, record: ImageRecord) -> ImageRecord | Failure:
        try:
            check_file(str(self.images / record.path))
            data = (self.images / record.path).read_bytes()
            with Image.open(BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise BadRecord(f'it has {image.width} x {image.height} pixels')
                turned = image.getexif().get(_ORIENTATION, 1)
                form = str(image.format)
                image.load()  # only that finds one that was cut
                size = image.size
        except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return Failure(record.key, f'image {record.path}: {" ".join(reason.split())}')
        if form not in SHARD_ENDINGS:
            return Failure(record.key, f'image {record.path}: a shard cannot hold {form}; make it a JPEG, PNG or WebP')
        width, height = size[::-1] if turned >= 5 else size
        if record.width and (record.width, record.height) != (width, height):
            given = f'{record.width} x {record.height}'
            return Failure(record.key, f'image {record.path}: {width} x {height} pixels, its annotations say {given}')
        facts = dict(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), format=form)
        if turned != 1:
            facts['orientation'] = turned
        others = {name: value for name, value in record.provenance.items() if name != 'file'}
        return replace(record, width=width, height=height, provenance=others | dict(image=facts))


class _Annotations:
    """COCO-form annotations by image name."""

    def __init__(self, path: str | Path) -> None:
        content = read_coco(path)
        names = {category['id']: category['name'] for category in content['categories']}
        licences = {each.get('id'): each for each in content.get('licenses') or [] if isinstance(each, dict)}
        self.boxes: dict[Any, list[dict[str, Any]]] = {}
        for each in content['annotations']:
            if not each.get('iscrowd') and min(each['bbox'][2:]) > 0:
                box = dict(bbox=each['bbox'], name=names[each['category_id']])
                self.boxes.setdefault(each['image_id'], []).append(box)
        self.images = {name_of_image(image): image for image in content['images']}
        self.licence_of = {key: f'{x.get("name")} {x.get("url") or ""}'.strip() for key, x in licences.items()}
        self.used: set[str] = set()
        self.licences: dict[str, int] = {}

    def add_to(self, record: ImageRecord) -> None:
        name = next((n for n in (record.path, os.path.basename(record.path)) if n in self.images), None)
        if name is None:
            return
        image = self.images[name]
        self.used.add(name)
        record.width, record.height = image['width'], image['height']
        record.annotations = self.boxes.get(image['id'], [])
        if licence := self.licence_of.get(image.get('license')):
            self.licences[licence] = self.licences.get(licence, 0) + 1
            record.provenance['licence'] = licence

    def unused(self, paths: list[str]) -> list[str]:
        found = {*paths, *map(os.path.basename, paths)}
        return sorted(name for name in self.images if name and name not in found)


def _walk(folder: str, below: str, above: frozenset[str]) -> Iterator[str]:
    """Relative paths of files, links to files and broken links; folders that hold this one are not entered again."""
    real = os.path.realpath(os.path.join(folder, below))
    if real in above:
        return
    try:
        entries = sorted(os.scandir(os.path.join(folder, below)), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f'images {os.path.join(folder, below)}: it cannot be read ({error.strerror})') from error
    for entry in entries:
        path = f'{below}/{entry.name}' if below else entry.name
        if not entry.is_dir():
            yield path
        elif not entry.name.startswith('.'):
            yield from _walk(folder, path, above | {real})


def _check_keys(records: list[ImageRecord]) -> None:
    seen: dict[str, str] = {}
    for record in records:
        other = seen.setdefault(record.key, record.path)
        if other != record.path:
            raise UserError(f'images: {other} and {record.path} have the same key {record.key}; rename one')
