"""The files of FG-OVD: boxes, each with the caption that is right and captions that are wrong in a detail.

Bianchi et al., "The Devil is in the Fine-Grained Details: Evaluating Open-Vocabulary Object Detectors for Fine-Grained
Understanding", CVPR 2024 (arXiv 2311.17518), and the lines that FG-CLIP (arXiv 2505.05071) made of them.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json, read_text
from fgdet.utils.image_paths import locate_image

#: Name of each difficulty by the benchmark's own name of its file.
SUBSETS = {'1_attributes': 'hard', '2_attributes': 'medium', '3_attributes': 'easy', 'shuffle_negatives': 'trivial'}

_ORIENTATION = 0x0112  # EXIF; from 5 on width and height change places


class FGOVDLine(NamedTuple):
    """A box and its captions."""

    number: int  # of the line or annotation in its file, from 1
    image_id: int
    file_name: str  # below the folder of images
    size_wh: tuple[int, int]
    bbox: tuple[float, float, float, float]  # x, y, width, height in pixels of the image
    category_ids: tuple[int, ...]  # of the right caption, then of the wrong ones
    captions: tuple[str, ...]  # in the same order


class FGOVDSubset(NamedTuple):
    """One file: a difficulty, or an attribute."""

    name: str  # hard, medium, easy, trivial; any other file is called as its test_type, or as itself
    path: Path
    lines: list[FGOVDLine]

    def to_coco(self) -> dict[str, Any]:
        """The lines in the COCO form of the benchmark, each annotation with its ``neg_category_ids``."""
        names: dict[int, str] = {}
        for line in self.lines:
            names.update(zip(line.category_ids, line.captions, strict=True))
        images = {line.image_id: {'id': line.image_id, 'file_name': line.file_name} for line in self.lines}
        annotations = [
            {
                'id': line.number,
                'image_id': line.image_id,
                'bbox': list(line.bbox),
                'category_id': line.category_ids[0],
                'neg_category_ids': list(line.category_ids[1:]),
            }
            for line in self.lines
        ]
        categories = [{'id': number, 'name': name} for number, name in names.items()]
        return {'images': list(images.values()), 'categories': categories, 'annotations': annotations}


def read_fg_ovd(paths: Sequence[str | Path]) -> list[FGOVDSubset]:
    """Read files of FG-OVD, each in one of two forms.

    A ``.jsonl`` file has one object a line, with the fields ``img_path, bbox, pos_expression`` (one), ``neg_expression,
    category_id, neg_category_ids, width, height, image_id`` and ``test_type``; any other file is the benchmark's COCO
    form, whose annotations have ``neg_category_ids``. Further fields are not looked at.

    Raises:
        UserError: a file is missing, empty or malformed (with the line), an id stands for two things, or two files are
            of one subset.
    """
    if not paths:
        raise UserError('FG-OVD: no annotation file; give hard.jsonl, medium.jsonl, easy.jsonl or trivial.jsonl')
    subsets: list[FGOVDSubset] = []
    for path in map(Path, paths):
        subset = _read_lines(path) if path.suffix == '.jsonl' else _read_coco(path)
        if not subset.lines:
            raise UserError(f'FG-OVD file {path}: it has no line')
        _check_ids(subset)
        for other in subsets:
            if other.name == subset.name:
                raise UserError(f'FG-OVD files {other.path} and {path}: both are {subset.name!r}; give one of them')
        subsets.append(subset)
    return subsets


def find_images(subsets: Sequence[FGOVDSubset], folder: str | Path, skip_missing: bool = False) -> dict[str, Path]:
    """Where the images of some subsets are, by their ``file_name``; those that are missing are left out.

    Args:
        subsets: what is looked for.
        folder: what their paths start from, such as the one that holds ``val2017``.
        skip_missing: go on where some are missing.

    Raises:
        UserError: an image is missing (all of them, with ``skip_missing``), is none, or is of another size than its
            line says.
    """
    sizes = {line.file_name: (line, subset) for subset in subsets for line in subset.lines}
    found = {name: path for name in sizes if (path := locate_image(folder, name))}
    missing = [name for name in sizes if name not in found]
    if missing and not (skip_missing and found):
        raise UserError(
            f'images {folder}: {len(missing)} of {len(sizes)} are missing, the first is {missing[0]}; give the folder '
            'that paths such as val2017/000000000139.jpg start from, or leave their lines out with --skip-missing'
        )
    for name, path in found.items():
        line, subset = sizes[name]
        width, height = _size_of(path)
        if (width, height) != line.size_wh:
            raise UserError(
                f'{subset.path}:{line.number}: it says that {name} has {line.size_wh[0]} x {line.size_wh[1]} pixels, '
                f'but {path} has {width} x {height}; is it another version of the image?'
            )
    return found


def _size_of(path: Path) -> tuple[int, int]:
    """Width and height as the image is shown."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
            return (image.height, image.width) if turned else image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f'image {path}: it cannot be read as an image; is it one, and complete?') from error


def _read_lines(path: Path) -> FGOVDSubset:
    lines: list[FGOVDLine] = []
    kinds: list[str] = []
    for number, text in enumerate(read_text(path, 'FG-OVD file').split('\n'), 1):
        if not text.strip():
            continue
        where = f'FG-OVD file {path}:{number}'
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f'{where}: not JSON ({error.msg}, column {error.colno})') from error
        lines.append(_line(row, number, where))
        kinds.append(str(row.get('test_type', path.stem)))
        if kinds[-1] != kinds[0]:
            raise UserError(f'{where}: test_type {kinds[-1]!r}, but {kinds[0]!r} above; give one file for each')
    name = kinds[0] if kinds else path.stem
    return FGOVDSubset(SUBSETS.get(name, name), path, lines)


def _read_coco(path: Path) -> FGOVDSubset:
    content, where = read_json(path, 'FG-OVD file'), f'FG-OVD file {path}'
    for key in ('images', 'categories', 'annotations'):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f'{where}: no list under {key!r}; give the COCO form of FG-OVD, or a .jsonl file')
    for key, fields in {'images': ('id', 'file_name', 'width', 'height'), 'categories': ('id', 'name')}.items():
        for position, entry in enumerate(content[key]):
            missing = [field for field in fields if not isinstance(entry, dict) or field not in entry]
            if missing:
                raise UserError(f'{where}: {key}[{position}] has no {missing[0]!r}')
    images = {entry['id']: entry for entry in content['images']}
    names = {entry['id']: entry['name'] for entry in content['categories']}
    lines = [_line(row, number, place) for number, (row, place) in enumerate(_rows(content, images, names, where), 1)]
    return FGOVDSubset(SUBSETS.get(path.stem, path.stem), path, lines)


def _rows(
    content: dict[str, Any], images: dict[int, Any], names: dict[int, str], where: str
) -> Iterator[tuple[dict[str, Any], str]]:
    """The annotations of a COCO form as lines, and how an error names each."""
    for position, entry in enumerate(content['annotations']):
        place = f'{where}: annotations[{position}]'
        fields = ('image_id', 'category_id', 'neg_category_ids', 'bbox')
        missing = [field for field in fields if not isinstance(entry, dict) or field not in entry]
        if missing:
            raise UserError(f'{place} has no {missing[0]!r}; give a file of FG-OVD')
        if not (
            _are(entry['neg_category_ids'], _is_int) and _is_int(entry['category_id']) and _is_int(entry['image_id'])
        ):
            raise UserError(f'{place}: image_id, category_id, neg_category_ids: expected whole numbers')
        unknown = [number for number in (entry['category_id'], *entry['neg_category_ids']) if number not in names]
        if unknown or entry['image_id'] not in images:
            what = f'category {unknown[0]}' if unknown else f'image_id {entry["image_id"]!r}'
            raise UserError(f'{place}: {what} is not in the file')
        image = images[entry['image_id']]
        row = {field: entry[field] for field in fields}
        row |= {'img_path': image['file_name'], 'width': image['width'], 'height': image['height']}
        row['pos_expression'] = [names[entry['category_id']]]
        row['neg_expression'] = [names[number] for number in entry['neg_category_ids']]
        yield row, place


def _line(row: Any, number: int, where: str) -> FGOVDLine:
    """A checked line; ``where`` is how an error names it."""
    if not isinstance(row, dict):
        raise UserError(f'{where}: expected an object, got a {type(row).__name__}')
    for field, (is_right, expected) in _FIELDS.items():
        if field not in row:
            raise UserError(f'{where}: no {field!r}; a line has {", ".join(_FIELDS)}')
        if not is_right(row[field]):
            raise UserError(f'{where}: {field}: expected {expected}, got {row[field]!r}')
    category_ids = (row['category_id'], *row['neg_category_ids'])
    captions = (*row['pos_expression'], *row['neg_expression'])
    if len(category_ids) != len(captions):
        counts = f'{len(row["neg_expression"])} neg_expression but {len(row["neg_category_ids"])} neg_category_ids'
        raise UserError(f'{where}: {counts}')
    if len(set(category_ids)) < len(category_ids):
        raise UserError(f'{where}: a category id comes twice among category_id and neg_category_ids')
    size_wh = (row['width'], row['height'])
    x, y, width, height = map(float, row['bbox'])
    return FGOVDLine(number, row['image_id'], row['img_path'], size_wh, (x, y, width, height), category_ids, captions)


def _check_ids(subset: FGOVDSubset) -> None:
    """Every id has one meaning, and a caption has the same negatives wherever it stands in an image."""
    names: dict[int, str] = {}
    images: dict[int, tuple[Any, ...]] = {}
    vocabularies: dict[tuple[int, int], tuple[int, ...]] = {}
    for line in subset.lines:
        where = f'FG-OVD file {subset.path}:{line.number}'
        for number, name in zip(line.category_ids, line.captions, strict=True):
            if names.setdefault(number, name) != name:
                raise UserError(f'{where}: category {number} is {name!r}, but {names[number]!r} above')
        image = (line.file_name, line.size_wh)
        if images.setdefault(line.image_id, image) != image:
            raise UserError(f'{where}: image_id {line.image_id} is {image}, but {images[line.image_id]} above')
        key = line.image_id, line.category_ids[0]
        if vocabularies.setdefault(key, line.category_ids) != line.category_ids:
            raise UserError(f'{where}: category {key[1]} has other negatives than above in the same image')


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are(values: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and all(map(is_right, values))


def _is_box(value: Any) -> bool:
    return _are(value, _is_number) and len(value) == 4 and value[2] >= 0 and value[3] >= 0


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    'img_path': (_is_text, 'a path'),
    'bbox': (_is_box, 'four finite numbers x, y, width >= 0, height >= 0'),
    'pos_expression': (lambda value: _are(value, _is_text) and len(value) == 1, 'a list of one text'),
    'neg_expression': (lambda value: _are(value, _is_text) and len(value) > 0, 'a list of texts, at least one'),
    'category_id': (_is_int, 'a whole number'),
    'neg_category_ids': (lambda value: _are(value, _is_int), 'a list of whole numbers'),
    'width': (lambda value: _is_int(value) and value > 0, 'a whole number above 0'),
    'height': (lambda value: _is_int(value) and value > 0, 'a whole number above 0'),
    'image_id': (_is_int, 'a whole number'),
}
