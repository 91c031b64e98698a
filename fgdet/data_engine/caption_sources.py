"""Captions in files: lists of images, shards, or a small file beside each image."""

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from fgdet.data_engine.image_record import ImageRecord
from fgdet.datasets.caption_files import read_captions
from fgdet.datasets.tar_samples import DamagedTar, read_samples
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json, read_text

#: A sentence ends here where a capital, a digit or nothing follows; abbreviations of one letter do not end it.
_END = re.compile(r'(?<!\b[A-Za-z])[.!?]["\')]?(?=\s+["\'(]?[A-Z0-9]|\s*$)')

Captions = tuple[str, str]  # long and short


class CaptionSource:
    """Finds the captions of an image.

    Of several captions of one image the short one is the first, and the long one all of them, one after the other.

    Args:
        path: as :class:`~fgdet.data_engine.captioners.ExistingCaptions` describes.

    Raises:
        UserError: there is nothing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise UserError(f'captions {path}: no such file or folder')
        if self.path.is_dir():
            self.form = 'shards' if any(self.path.glob('*.tar')) else 'sidecar'
        else:
            self.form = 'shards' if self.path.suffix == '.tar' else 'list'

    def load(self) -> None:
        """Read a list or shards, once; what lies beside the images is read one by one.

        Raises:
            UserError: it cannot be read.
        """
        if self.form != 'sidecar':
            self._table  # noqa: B018 - a cached property

    def find(self, record: ImageRecord) -> Captions | None:
        """Return the long and the short caption of an image; None where there are none.

        Raises:
            UserError: the file beside the image cannot be read, or see :meth:`load`.
        """
        if self.form == 'sidecar':
            return self._beside(record.path)
        keys = (record.path, record.key, str(Path(record.path).with_suffix('')), Path(record.path).name)
        return next((self._table[key] for key in keys if key in self._table), None)

    def _beside(self, path: str) -> Captions | None:
        stem = self.path / Path(path).with_suffix('')
        for candidate in (stem, self.path / stem.name):
            if (file := candidate.with_name(f'{candidate.name}.json')).is_file():
                return _from_json(read_json(file, 'caption file'), f'caption file {file}')
            if (file := candidate.with_name(f'{candidate.name}.txt')).is_file():
                return _from_texts(read_text(file, 'caption file').splitlines(), f'caption file {file}')
        return None

    @cached_property
    def _table(self) -> dict[str, Captions]:
        """The captions by file name or key."""
        return self._from_shards() if self.form == 'shards' else self._from_list()

    def _from_list(self) -> dict[str, Captions]:
        content = read_captions(self.path)
        table: dict[str, Captions] = {}
        for index, image in enumerate(content.images):
            if 'long' in content.sets:
                table[image] = content.sets['long'][index][0], content.sets['short'][index][0]
            else:
                table[image] = _from_texts(content.sets['text'][index], f'captions file {self.path}: {image}')
        return table

    def _from_shards(self) -> dict[str, Captions]:
        table: dict[str, Captions] = {}
        for shard in sorted(self.path.glob('*.tar')) if self.path.is_dir() else [self.path]:
            try:
                with open(shard, 'rb') as file:
                    for _, sample in read_samples(file):
                        where = f'shard {shard.name}: {sample.key}'
                        try:
                            if 'json' in sample.members:
                                table[sample.key] = _from_json(json.loads(sample.members['json']), where)
                            elif 'txt' in sample.members:
                                table[sample.key] = _from_texts(sample.members['txt'].decode().splitlines(), where)
                        except (ValueError, RecursionError):  # that one has no caption then
                            continue
            except DamagedTar as error:
                raise UserError(f'shard {shard}: {error}') from error
        return table


def _from_json(content: Any, where: str) -> Captions:
    """The captions of an object with ``caption`` and perhaps ``short_caption``, or with ``captions`` or ``text``."""
    if isinstance(content, dict):
        long, short = content.get('caption') or content.get('text'), content.get('short_caption')
        if isinstance(long, str) and isinstance(short, str) and long.strip() and short.strip():
            return ' '.join(long.split()), ' '.join(short.split())
        texts = content.get('captions') or [long]
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            return _from_texts(texts, where)
    raise UserError(f'{where}: expected an object with a text "caption" or a list "captions", got {content!r:.80}')


def _from_texts(texts: list[str], where: str) -> Captions:
    """All of them as sentences, and the first sentence."""
    lines = list(dict.fromkeys(' '.join(text.split()) for text in texts if text.strip()))
    if not lines:
        raise UserError(f'{where}: the caption is empty')
    sentences = [line if line[-1] in '.!?"\')' else f'{line}.' for line in lines]
    return (' '.join(sentences) if len(lines) > 1 else lines[0]), first_sentence(lines[0])


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, with its stop; all of it where there is no end."""
    end = _END.search(text)
    return text[: end.end()] if end else text
