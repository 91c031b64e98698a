"""Images with their captions, from the files of the retrieval benchmarks and from records of ours."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fgdet.datasets.record_files import Record, read_records
from fgdet.datasets.region_text import PUBLISHED_PREFIX
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json

#: Characters of the first line that are looked at to tell records from one large object.
_LOOK = 1 << 20


class CaptionedImages(NamedTuple):
    """Images, each with at least one caption in each set."""

    images: list[str]  # file names, below the folder of images
    sets: dict[str, list[list[str]]]  # by name the captions of each image; 'text', or 'long' and 'short'
    num_left_out: int  # captions beyond the most of an image
    num_bare: int  # images without a caption


def read_captions(path: str | Path, most: int | None = None, split: str = 'test') -> CaptionedImages:
    """Read a file of captions; its form is told by its content.

    Args:
        path: COCO captions (``images``, ``annotations`` with ``caption``; or images with a ``caption`` each),
            Karpathy's JSON of Flickr30k and COCO (``images`` with ``sentences`` and ``split``), FineHARD records
            (``f_path``, ``caption``, ``short_caption``: the sets ``long`` and ``short``), or records
            ``{"image": name, "captions": [...]}``; records as a JSON list, one a line, or a folder of such files.
        most: captions of an image that count, the first ones; None for all.
        split: which part of Karpathy's file.

    Raises:
        UserError: no such file, another form, an entry that is malformed (with its position), or no caption at all.
    """
    records, where = _records(Path(path)), f'captions file {path}'
    if records is None:
        content = read_json(path, 'captions file')
        if not isinstance(content, dict) or not isinstance(content.get('images'), list):
            raise UserError(
                f"{where}: expected COCO captions, Karpathy's JSON, FineHARD records or records of image and captions"
            )
        is_karpathy = any(isinstance(image, dict) and 'sentences' in image for image in content['images'][:1])
        pairs = _karpathy(content['images'], split, where) if is_karpathy else _coco(content, where)
    else:
        pairs = _from_records(records)
    captioned, num_left_out, num_bare = [], 0, 0
    for image, sets in pairs:
        if not all(sets.values()):
            num_bare += 1
            continue
        num_left_out += sum(max(0, len(texts) - (most or len(texts))) for texts in sets.values())
        captioned.append((image, {name: texts[:most] for name, texts in sets.items()}))
    if not captioned:
        raise UserError(f'{where}: no image in it has a caption')
    images = [image for image, _ in captioned]
    if len(set(images)) < len(images):
        repeated = next(image for image, count in Counter(images).items() if count > 1)
        raise UserError(f'{where}: the image {repeated} comes twice; join its captions')
    by_name = {name: [texts[name] for _, texts in captioned] for name in captioned[0][1]}
    return CaptionedImages(images, by_name, num_left_out, num_bare)


def _records(path: Path) -> Iterator[Record] | None:
    """The records of a folder, a list or lines; None where the file is one object."""
    if path.is_file():
        with open(path, encoding='utf-8-sig', errors='replace') as file:
            first = next((line for line in iter(partial(file.readline, _LOOK), '') if line.strip()), '').strip()
        if not first.startswith('[') and not _is_record(first):
            return None
    return read_records(path)


def _is_record(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and ('image' in entry or 'f_path' in entry)


def _from_records(records: Iterable[Record]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    kinds: dict[str, str] = {}
    for record in records:
        if record.content is None:
            raise UserError(f'captions file {record.source}: {record.error}')
        content, where = record.content, f'captions file {record.source}'
        kind = 'f_path' if 'f_path' in content else 'image'
        if kinds.setdefault(kind, record.source) and len(kinds) > 1:
            raise UserError(f'{where}: it has {kind!r} where the records before it have {next(iter(kinds))!r}')
        if kind == 'f_path':
            name = _text(content, 'f_path', where).replace(PUBLISHED_PREFIX, '')
            yield name, {'long': [_text(content, 'caption', where)], 'short': [_text(content, 'short_caption', where)]}
        else:
            captions = content.get('captions')
            if not isinstance(captions, list):
                raise UserError(f'{where}: expected "image" and a list "captions", got captions {captions!r:.60}')
            entries = [_text({'captions': text}, 'captions', where) for text in captions]
            yield _text(content, 'image', where), {'text': entries}


def _coco(content: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    images = content['images']
    captions: dict[Any, list[str]] = {}
    for position, image in enumerate(images):
        place = f'{where}: images[{position}]'
        if not isinstance(image, dict) or not isinstance(image.get('id'), int | str) or image['id'] in captions:
            raise UserError(f'{place}: expected an "id" of its own, got {image!r:.80}')
        captions[image['id']] = [_text(image, 'caption', place)] if 'caption' in image else []
    for position, entry in enumerate(content.get('annotations') or ()):
        place = f'{where}: annotations[{position}]'
        if not isinstance(entry, dict) or not isinstance(entry.get('image_id'), int | str):
            raise UserError(f'{place}: expected an "image_id", got {entry!r:.80}')
        if 'caption' in entry:
            if entry['image_id'] not in captions:
                raise UserError(f'{place}: image_id {entry["image_id"]!r} is not among the {len(images)} images')
            captions[entry['image_id']].append(_text(entry, 'caption', place))
    for position, image in enumerate(images):
        yield _text(image, 'file_name', f'{where}: images[{position}]'), {'text': captions[image['id']]}


def _karpathy(images: list[Any], split: str, where: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    found = {image.get('split') for image in images if isinstance(image, dict)}
    if split not in found:
        raise UserError(f'{where}: split {split!r} is not in it; it has {", ".join(sorted(map(str, found)))}')
    for position, image in enumerate(images):
        place = f'{where}: images[{position}]'
        if not isinstance(image, dict) or not isinstance(image.get('sentences'), list):
            raise UserError(f'{place}: expected a list "sentences", got {image!r:.80}')
        if image.get('split') == split:
            name = str(Path(image.get('filepath') or '') / _text(image, 'filename', place))
            sentences = [sentence if isinstance(sentence, dict) else {} for sentence in image['sentences']]
            yield name, {'text': [_text(sentence, 'raw', f'{place}.sentences') for sentence in sentences]}


def _text(entry: dict[str, Any], field: str, where: str) -> str:
    value = entry.get(field)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f'{where}: {field} must be a text that is not empty, got {value!r:.80}')
    return value.strip() if field != 'file_name' else value
