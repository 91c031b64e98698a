"""An ordered list of class names with their synonyms, prompt templates and base/novel split; no torch."""

import hashlib
import json
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.structures.coco_split import OV_COCO_BASE, OV_COCO_NAMES, OV_COCO_NOVEL
from fgdet.structures.lvis_split import LVIS_V1_BASE, LVIS_V1_NAMES, LVIS_V1_RARE, LVIS_V1_SYNONYMS
from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.files import read_json, read_text

#: What an unnamed template means; the prompt of Radford et al., "Learning Transferable Visual Models", section 3.1.4.
DEFAULT_TEMPLATES: tuple[str, ...] = ('a photo of a {}.',)

FREQUENCIES = ('r', 'c', 'f')

_FIELDS = (
    'names', 'base', 'novel', 'templates', 'synonyms', 'negatives', 'background', 'thresholds', 'frequency',
    'image_prompts',
)  # fmt: skip


class Vocabulary:
    """What a detector is asked to find: K class names in order; a detection's label is an index into them.

    A vocabulary does not change after it was made; two are equal when all parts are. All strings are stripped of
    surrounding white space and brought to unicode's composed form (NFC), then non-empty; case counts.

    Args:
        names: the K class names, unique.
        base: names seen in training; None means none.
        novel: names not seen in training; None means none. A name may be in neither (COCO has 15 such classes).
        templates: prompts in which every ``{}`` is replaced by a name; None means ``('a photo of a {}.',)``.
        synonyms: for some of the names, other words for the same thing. The name itself always comes first, repeats
            are dropped.
        negatives: names that compete with the K names for a region and are never reported, such as what a class is
            often mistaken for. They are put into the templates as names are.
        background: whole prompts that compete likewise, such as ``'an empty wall'``; no template is put around them.
        thresholds: for some of the names, the score below which a detection is not reported, 0..1.
        frequency: for some of the names ``'r'``, ``'c'`` or ``'f'``: rare, common, frequent, as LVIS counts images.
        image_prompts: for some of the names an embedding (d,) that stands in place of their words, of any length
            above 0; it is kept at length 1 (see :mod:`fgdet.apis.image_prompts`).

    Raises:
        UserError: an entry is empty, repeated, of another type or range, not among ``names``, in both base and novel,
            or a template without ``{}``; the message names it.
    """

    def __init__(
        self,
        names: Iterable[str],
        base: Iterable[str] | None = None,
        novel: Iterable[str] | None = None,
        templates: Iterable[str] | None = None,
        synonyms: Mapping[str, Iterable[str]] | None = None,
        negatives: Iterable[str] | None = None,
        background: Iterable[str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        frequency: Mapping[str, str] | None = None,
        image_prompts: Mapping[str, Any] | None = None,
    ) -> None:
        self.names = _unique_strings(names, 'names')
        if not self.names:
            raise UserError('vocabulary names: the list is empty; give at least one class name')
        self.base = self._subset(base, 'base')
        self.novel = self._subset(novel, 'novel')
        overlap = [name for name in self.base if name in set(self.novel)]
        if overlap:
            raise UserError(f'vocabulary base and novel: {_listed(overlap)} in both; a name is in one at most')
        self.templates = DEFAULT_TEMPLATES if templates is None else _unique_strings(templates, 'templates')
        if not self.templates:
            raise UserError('vocabulary templates: the list is empty; leave it out for the default template')
        for template in self.templates:
            if '{}' not in template:
                raise UserError(f'vocabulary templates: {template!r} has no {{}} where the name goes')
        self.synonyms = {
            name: words
            for name, others in self._by_name(synonyms, 'synonyms').items()
            if (words := tuple(w for w in dict.fromkeys(_strings(others, f'synonyms of {name!r}')) if w != name))
        }
        self.negatives = _unique_strings(negatives or (), 'negatives')
        asked = [name for name in self.negatives if name in set(self.names)]
        if asked:
            raise UserError(f'vocabulary negatives: {_listed(asked)} among the names; a name cannot be both')
        self.background = _unique_strings(background or (), 'background')
        self.thresholds = {n: _threshold(v, n) for n, v in self._by_name(thresholds, 'thresholds').items()}
        self.frequency = self._by_name(frequency, 'frequency')
        for name, letter in self.frequency.items():
            if letter not in FREQUENCIES:
                raise UserError(f'vocabulary frequency of {name!r}: expected r, c or f, got {letter!r}')
        self.image_prompts = {n: _unit_vector(v, n) for n, v in self._by_name(image_prompts, 'image_prompts').items()}
        if len({len(vector) for vector in self.image_prompts.values()}) > 1:
            raise UserError('vocabulary image_prompts: embeddings of several lengths; take all from one model')

    @classmethod
    def from_text(cls, text: str) -> 'Vocabulary':
        """Make a vocabulary of comma-separated names, as typed on a command line: ``'red mug, striped cat'``."""
        return cls(text.split(','))

    @classmethod
    def from_file(cls, path: str | Path) -> 'Vocabulary':
        """Read a vocabulary from a UTF-8 file, told apart by its ending.

        ``.txt`` has one name a line, blank lines skipped. ``.json`` has one of: a list of names; a list of categories
        or a COCO-form dict holding one under ``categories`` (see :meth:`from_coco`); a dict of this class's arguments,
        where ``names`` may be left out when ``base`` and ``novel`` are there (base then novel names).

        Raises:
            UserError: no such file, another ending, or a form that is not one of these.
        """
        path = existing_file(path, 'vocabulary file')
        if path.suffix == '.txt':
            return cls(line for line in read_text(path, 'vocabulary file').splitlines() if line.strip())
        if path.suffix == '.json':
            return cls._from_json(read_json(path, 'vocabulary file'), path)
        raise UserError(f'vocabulary file {path}: ending {path.suffix!r} is not known; use .txt or .json')

    @classmethod
    def from_coco(cls, path: str | Path) -> 'Vocabulary':
        """Read the names under ``categories`` of a COCO-form annotation file, in the order of their ids."""
        content = read_json(path, 'annotation file')
        if not isinstance(content, dict) or not isinstance(content.get('categories'), list):
            raise UserError(f"annotation file {path}: no list under 'categories'; give a COCO-form file")
        return cls(_category_names(content['categories'], Path(path)))

    @classmethod
    def _from_json(cls, content: Any, path: Path) -> 'Vocabulary':
        if isinstance(content, dict) and isinstance(content.get('categories'), list):
            return cls(_category_names(content['categories'], path))
        if isinstance(content, list):
            is_category_list = bool(content) and all(isinstance(entry, dict) for entry in content)
            return cls(_category_names(content, path) if is_category_list else content)
        if isinstance(content, dict) and content and set(content) <= set(_FIELDS):
            names = content.get('names', [*content.get('base', ()), *content.get('novel', ())])
            return cls(names, *(content.get(key) for key in _FIELDS[1:]))
        raise UserError(
            f'vocabulary file {path}: expected a list of names, COCO categories, or a dict with keys among '
            f'{", ".join(_FIELDS)}'
        )

    @property
    def base_mask(self) -> np.ndarray:
        """(K,) bool, True where the name is a base class."""
        return self._mask(self.base)

    @property
    def novel_mask(self) -> np.ndarray:
        """(K,) bool, True where the name is a novel class."""
        return self._mask(self.novel)

    @property
    def num_negatives(self) -> int:
        """N, the negatives and the background prompts together."""
        return len(self.negatives) + len(self.background)

    def threshold_of(self, name: str, default: float) -> float:
        """The score below which a detection of ``name`` is not reported; ``default`` where it has none of its own."""
        return self.thresholds.get(name, default)

    def prompts(self, index: int) -> list[str]:
        """Return the texts whose embeddings are averaged for one row: a name, then a negative, then a background.

        A name is every template filled with the name and with each of its synonyms: template by template, the name
        before its synonyms, so the length is templates x (1 + synonyms). An underscore becomes a space. A negative is
        every template, a background prompt is itself alone.

        Args:
            index: 0..K + N - 1.
        """
        templates = self.templates if index < len(self) + len(self.negatives) else ('{}',)
        return [template.replace('{}', word) for template in templates for word in self.words(index)]

    def words(self, index: int) -> tuple[str, ...]:
        """What the templates are filled with for row ``index`` of K + N, see :meth:`prompts`."""
        if index < len(self):
            name = self.names[index]
            words = (name, *self.synonyms.get(name, ()))
        elif index < len(self) + len(self.negatives):
            words = (self.negatives[index - len(self)],)
        else:
            return (self.background[index - len(self) - len(self.negatives)],)
        return tuple(word.replace('_', ' ') for word in words)

    def content_hash(self) -> str:
        """Return 64 hexadecimal digits that depend on all parts and on nothing else: a key for caches."""
        text = json.dumps(self._parts(), ensure_ascii=True, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _parts(self) -> dict[str, Any]:
        parts = {field: getattr(self, field) for field in _FIELDS}
        return parts | {'image_prompts': {name: vector.tolist() for name, vector in self.image_prompts.items()}}

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        return self._parts() == other._parts() if isinstance(other, Vocabulary) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.content_hash())

    def __repr__(self) -> str:
        shown = ', '.join(self.names[:5]) + (', ...' if len(self) > 5 else '')
        return f'Vocabulary({len(self)} names: {shown}; {len(self.base)} base, {len(self.novel)} novel)'

    def _mask(self, names: Iterable[str]) -> np.ndarray:
        chosen = set(names)
        return np.array([name in chosen for name in self.names], dtype=bool)

    def _subset(self, names: Iterable[str] | None, field: str) -> tuple[str, ...]:
        subset = () if names is None else _unique_strings(names, field)
        known = set(self.names)
        unknown = [name for name in subset if name not in known]
        if unknown:
            raise UserError(f'vocabulary {field}: {_listed(unknown)} not among the {len(known)} names')
        return subset

    def _by_name(self, values: Mapping[str, Any] | None, field: str) -> dict[str, Any]:
        if not isinstance(values, Mapping | None):
            raise UserError(f'vocabulary {field}: expected a dict by name, got {values!r}')
        return dict(zip(self._subset(values, field), (values or {}).values(), strict=True))


def ov_coco_vocabulary(templates: Sequence[str] | None = None) -> Vocabulary:
    """Return the 65 classes of OV-COCO in category order with their split into 48 base and 17 novel ones."""
    return Vocabulary(OV_COCO_NAMES, base=OV_COCO_BASE, novel=OV_COCO_NOVEL, templates=templates)


def lvis_v1_vocabulary(templates: Sequence[str] | None = None, synonyms: bool = False) -> Vocabulary:
    """Return the 1,203 classes of LVIS v1 in category order: 866 base ones, and 337 rare ones, which are novel.

    Args:
        templates: prompts; None means the default one.
        synonyms: whether LVIS's other words for a class count; published figures are mostly of the names alone.
    """
    words = LVIS_V1_SYNONYMS if synonyms else None
    return Vocabulary(LVIS_V1_NAMES, base=LVIS_V1_BASE, novel=LVIS_V1_RARE, templates=templates, synonyms=words)


def _threshold(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UserError(f'vocabulary thresholds of {name!r}: expected a number in 0..1, got {value!r}')
    return float(value)


def _unit_vector(values: Any, name: str) -> np.ndarray:
    """(d,) float32 of length 1 that cannot be written to."""
    try:
        vector = np.array(values, dtype=np.float32)
    except (TypeError, ValueError):
        vector = np.zeros(0, dtype=np.float32)
    length = float(np.linalg.norm(vector)) if vector.ndim == 1 else 0.0
    if not 0 < length < math.inf:
        raise UserError(f'vocabulary image_prompts of {name!r}: expected a vector of finite numbers that are not all 0')
    vector = vector / length if abs(length - 1) > 1e-6 else vector
    vector.setflags(write=False)
    return vector


def _strings(values: Iterable[str], field: str) -> tuple[str, ...]:
    """The strings stripped and in NFC; refused are empty ones, and a bare string, which would iterate its letters."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UserError(f'vocabulary {field}: expected a list of strings, got {values!r}')
    stripped = []
    for position, value in enumerate(values):
        if not isinstance(value, str):
            raise UserError(f'vocabulary {field}[{position}]: expected a string, got {value!r}')
        if not value.strip():
            raise UserError(f'vocabulary {field}[{position}]: {value!r} is empty; remove it or name a class')
        stripped.append(unicodedata.normalize('NFC', value.strip()))
    return tuple(stripped)


def _unique_strings(values: Iterable[str], field: str) -> tuple[str, ...]:
    strings = _strings(values, field)
    first_seen: dict[str, int] = {}
    for position, string in enumerate(strings):
        if string in first_seen:
            raise UserError(f'vocabulary {field}[{position}]: {string!r} repeats {field}[{first_seen[string]}]')
        first_seen[string] = position
    return strings


def _category_names(categories: list[Any], path: Path) -> list[str]:
    """Return the names of COCO categories by ascending id, in the order of the file where an id is missing."""
    for position, category in enumerate(categories):
        if not isinstance(category, dict) or 'name' not in category:
            raise UserError(f"{path}: categories[{position}] has no 'name': {category!r}")
    if all(isinstance(category.get('id'), int) for category in categories):
        categories = sorted(categories, key=lambda category: category['id'])
    return [category['name'] for category in categories]


def _listed(names: Sequence[str]) -> str:
    """Return up to five names quoted, and how many more there are, with the verb that follows."""
    shown = ', '.join(repr(name) for name in names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
    return f'{shown} {"is" if len(names) == 1 else "are"}'
