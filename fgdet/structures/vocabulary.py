"""An ordered list of class names with their synonyms, prompt templates and base/novel split; no torch."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.structures.coco_split import COCO_NAMES, OV_COCO_BASE, OV_COCO_NAMES, OV_COCO_NOVEL
from fgdet.structures.lvis_split import (
    LVIS_V1_BASE,
    LVIS_V1_FREQUENCY,
    LVIS_V1_NAMES,
    LVIS_V1_RARE,
    LVIS_V1_SYNONYMS,
)
from fgdet.structures.prompt_templates import template_set
from fgdet.structures.vocabulary_fields import listed, strings, threshold, unique_strings, unit_vector
from fgdet.structures.vocabulary_files import ENDINGS, arguments_from_coco, arguments_from_file, arguments_from_text
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json

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
        templates: prompts in which every ``{}`` is replaced by a name, or the name of a set of them, see
            :mod:`fgdet.structures.prompt_templates`. None means ``'imagenet'``, CLIP's 80; in a detector it means the
            templates that the detector was trained with.
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
        templates: Iterable[str] | str | None = None,
        synonyms: Mapping[str, Iterable[str]] | None = None,
        negatives: Iterable[str] | None = None,
        background: Iterable[str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        frequency: Mapping[str, str] | None = None,
        image_prompts: Mapping[str, Any] | None = None,
    ) -> None:
        self.names = unique_strings(names, 'names')
        if not self.names:
            raise UserError('vocabulary names: the list is empty; give at least one class name')
        self.base = self._subset(base, 'base')
        self.novel = self._subset(novel, 'novel')
        novel_names = set(self.novel)
        overlap = [name for name in self.base if name in novel_names]
        if overlap:
            raise UserError(f'vocabulary base and novel: {listed(overlap)} in both; a name is in one at most')
        if templates is None or isinstance(templates, str):
            self.templates = template_set(templates or 'imagenet')
        else:
            self.templates = unique_strings(templates, 'templates')
        if not self.templates:
            raise UserError('vocabulary templates: the list is empty; leave it out for the default template')
        for template in self.templates:
            if '{}' not in template:
                raise UserError(f'vocabulary templates: {template!r} has no {{}} where the name goes')
        self.synonyms = {
            name: words
            for name, others in self._by_name(synonyms, 'synonyms').items()
            if (words := tuple(w for w in dict.fromkeys(strings(others, f'synonyms of {name!r}')) if w != name))
        }
        self.negatives = unique_strings(negatives or (), 'negatives')
        known = set(self.names)
        asked = [name for name in self.negatives if name in known]
        if asked:
            raise UserError(f'vocabulary negatives: {listed(asked)} among the names; a name cannot be both')
        self.background = unique_strings(background or (), 'background')
        self.thresholds = {n: threshold(v, n) for n, v in self._by_name(thresholds, 'thresholds').items()}
        self.frequency = self._by_name(frequency, 'frequency')
        for name, letter in self.frequency.items():
            if letter not in FREQUENCIES:
                raise UserError(f'vocabulary frequency of {name!r}: expected r, c or f, got {letter!r}')
        self.image_prompts = {n: unit_vector(v, n) for n, v in self._by_name(image_prompts, 'image_prompts').items()}
        if len({len(vector) for vector in self.image_prompts.values()}) > 1:
            raise UserError('vocabulary image_prompts: embeddings of several lengths; take all from one model')
        given = dict(templates=templates, synonyms=synonyms, negatives=negatives, background=background)
        self._left_open = [field for field, value in given.items() if value is None]

    @classmethod
    def build(cls, spec: 'Vocabulary | Mapping[str, Any] | Iterable[str] | Path') -> 'Vocabulary':
        """Make a vocabulary of what a config or a caller says.

        Args:
            spec: ``'ov_coco'``, ``'coco'`` or ``'lvis_v1'``; the path of a file, see :meth:`from_file`; a list of
                names; a dict of this class's arguments, where ``names`` may also be one of the first two, for example
                ``dict(names='ov_coco', templates='simple')``; or a vocabulary, which is returned.

        Raises:
            UserError: no such name, an unknown argument, or what the class refuses.
        """
        if isinstance(spec, Vocabulary):
            return spec
        if isinstance(spec, str | Path):
            if str(spec) in NAMED:
                return NAMED[str(spec)]()
            if Path(spec).suffix in ENDINGS:
                return cls.from_file(spec)
            expected = f'a list or dict, a {" or ".join(ENDINGS)} file or one of {", ".join(NAMED)}'
            raise UserError(f'vocabulary: expected {expected}, got {str(spec)!r}')
        if not isinstance(spec, Mapping):
            return cls(spec)
        unknown = [repr(key) for key in spec if key not in _FIELDS]
        if unknown:
            raise UserError(f'vocabulary: it takes no {", ".join(unknown)}; it takes {", ".join(_FIELDS)}')
        if isinstance(spec.get('names'), str | Path):
            named = cls.build(spec['names'])
            return cls(**(named._arguments() | {key: spec[key] for key in spec if key != 'names'}))
        if 'names' not in spec:
            raise UserError("vocabulary: its 'names' are missing")
        return cls(**spec)

    @classmethod
    def from_text(cls, text: str) -> 'Vocabulary':
        """Read names between commas, as typed on a command line: ``'red mug=0.4, striped cat'``.

        What follows the last equals sign of a name is its threshold. Names with a comma or an equals sign are for
        files.

        Raises:
            UserError: what follows an equals sign is no number in 0..1, or a name is empty or repeated.
        """
        return cls(**arguments_from_text(text))

    @classmethod
    def from_file(cls, path: str | Path) -> 'Vocabulary':
        """Read a vocabulary from a UTF-8 file, told apart by its ending.

        ``.txt`` has one name a line as it stands, blank lines skipped. ``.json`` has one of: a list of names; a list of
        categories or a COCO-form dict holding one under ``categories`` (see :meth:`from_coco`); a dict of this class's
        arguments, where ``names`` may be left out when ``base`` and ``novel`` are there (base then novel names).

        Raises:
            UserError: no such file, another ending, or a form that is not one of these.
        """
        return cls(**arguments_from_file(path, _FIELDS))

    @classmethod
    def from_coco(cls, path: str | Path) -> 'Vocabulary':
        """Read the ``categories`` of a COCO-form or LVIS annotation file, in the order of their ids.

        LVIS's ``synonyms`` and ``frequency`` of a category are read where they are there.

        Raises:
            UserError: no such file, or no categories in it.
        """
        return cls(**arguments_from_coco(path))

    def save(self, path: str | Path) -> None:
        """Write a ``.json`` file that :meth:`from_file` reads to an equal vocabulary."""
        write_json(path, {field: value for field, value in self._parts().items() if value})

    def completed_by(self, other: 'Vocabulary') -> 'Vocabulary':
        """This vocabulary, with what it leaves open as ``other`` has it.

        Templates, synonyms, negatives and background are left open where they were not given at all. Synonyms come for
        the names that both have; a negative that is among the names is left out.
        """
        known = set(self.names)
        parts = dict(
            templates=other.templates,
            synonyms={name: words for name, words in other.synonyms.items() if name in known},
            negatives=[name for name in other.negatives if name not in known],
            background=other.background,
        )
        filled = {field: parts[field] for field in self._left_open if parts[field]}
        return Vocabulary(**(self._arguments() | filled)) if filled else self

    def with_negatives(self, names: Iterable[str], background: Iterable[str] = ()) -> 'Vocabulary':
        """This vocabulary with these negatives, unless it was given some, or an empty list of them; and with these
        background prompts beside its own."""
        if 'negatives' not in self._left_open:
            return self
        parts = self._arguments() | {'negatives': tuple(names)}
        more = tuple(prompt for prompt in background if prompt not in self.background)
        return Vocabulary(**(parts | ({'background': (*self.background, *more)} if more else {})))

    def with_image_prompts(self, embeddings: Mapping[str, np.ndarray]) -> 'Vocabulary':
        """This vocabulary and what examples show: a name of it is taken from the example, another one is added."""
        names = (*self.names, *(name for name in embeddings if name not in self.names))
        parts = {'names': names, 'image_prompts': {**self.image_prompts, **embeddings}}
        return Vocabulary(**(self._arguments() | parts))

    def renamed(self, words: Mapping[str, str]) -> 'Vocabulary':
        """The same classes, some of them under another word, without synonyms and thresholds: both go with a word.

        Args:
            words: the new word for some of the names.

        Raises:
            UserError: two classes would have one name.
        """
        parts = self._arguments() | {'synonyms': {}, 'thresholds': None}
        for field in ('names', 'base', 'novel'):
            parts[field] = [words.get(name, name) for name in parts[field]]
        for field in ('frequency', 'image_prompts'):
            parts[field] = {words.get(name, name): value for name, value in parts[field].items()}
        if parts['negatives'] is not None:
            parts['negatives'] = [name for name in parts['negatives'] if name not in set(parts['names'])]
        return Vocabulary(**parts)

    def _arguments(self) -> dict[str, Any]:
        """The arguments that make this vocabulary again; None for what was left open."""
        return {field: None if field in self._left_open else getattr(self, field) for field in _FIELDS}

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

    def prompt_keys(self) -> list[bytes]:
        """16 bytes for each of the K + N rows, which depend on the row's prompts alone: keys for their embeddings."""
        filled, bare = (hashlib.blake2b(json.dumps(each).encode(), digest_size=16) for each in (self.templates, ['{}']))
        keys = []
        for index in range(len(self) + self.num_negatives):
            digest = (filled if index < len(self) + len(self.negatives) else bare).copy()
            digest.update(json.dumps(self.words(index)).encode())
            keys.append(digest.digest())
        return keys

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
        subset = () if names is None else unique_strings(names, field)
        known = set(self.names)
        unknown = [name for name in subset if name not in known]
        if unknown:
            raise UserError(f'vocabulary {field}: {listed(unknown)} not among the {len(known)} names')
        return subset

    def _by_name(self, values: Mapping[str, Any] | None, field: str) -> dict[str, Any]:
        if not isinstance(values, Mapping | None):
            raise UserError(f'vocabulary {field}: expected a dict by name, got {values!r}')
        return dict(zip(self._subset(values, field), (values or {}).values(), strict=True))


def ov_coco_vocabulary(templates: Sequence[str] | str | None = None) -> Vocabulary:
    """Return the 65 classes of OV-COCO in category order with their split into 48 base and 17 novel ones."""
    return Vocabulary(OV_COCO_NAMES, base=OV_COCO_BASE, novel=OV_COCO_NOVEL, templates=templates)


def lvis_v1_vocabulary(templates: Sequence[str] | str | None = None, synonyms: bool = False) -> Vocabulary:
    """Return the 1,203 classes of LVIS v1 in category order: 866 base ones, and 337 rare ones, which are novel.

    Args:
        templates: prompts; None means the default ones.
        synonyms: whether LVIS's other words for a class count; published figures are mostly of the names alone.
    """
    return Vocabulary(
        LVIS_V1_NAMES,
        base=LVIS_V1_BASE,
        novel=LVIS_V1_RARE,
        templates=templates,
        synonyms=LVIS_V1_SYNONYMS if synonyms else None,
        frequency=LVIS_V1_FREQUENCY,
    )


#: Vocabularies that a config may name.
NAMED: dict[str, Callable[[], Vocabulary]] = {
    'ov_coco': ov_coco_vocabulary,
    'coco': lambda: Vocabulary(COCO_NAMES),
    'lvis_v1': lvis_v1_vocabulary,
}
