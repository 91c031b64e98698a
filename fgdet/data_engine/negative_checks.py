"""Checks of hard negatives, what share of them passes, and a sheet of samples to read by eye."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from fgdet.data_engine.attribute_lexicon import SENSES, FoundWord, contradicts, find_attributes, is_stop
from fgdet.data_engine.image_record import ImageRecord, Negative, Phrase
from fgdet.data_engine.noun_classes import is_noun, plural, singular
from fgdet.data_engine.picture_places import FoundPlace, contradict, find_place, is_clearly_false

VERSION = 1
#: Why a negative is no good, in the order of the checks.
REASONS = {
    'same': 'it says what the phrase says',
    'noun': 'its noun is another one or is missing',
    'object': 'it names another thing, or leaves one out',
    'length': 'it is empty or much longer than the phrase',
    'article': 'its "a" or "an" does not fit',
    'twice': 'it says one attribute twice',
    'duplicate': 'there is one like it',
    'elsewhere': 'it is true of something else in the image',
}
#: Of a crowd: there may be any number.
UNCOUNTED = 99
#: Intersection over union from which an annotation is the region's own.
_SAME_BOX = 0.7
_MOST_NEW_WORDS = 8
_COUNTED = 'one two three four five six seven eight nine ten'
NUMBERS = {name: number for number, name in enumerate(_COUNTED.split(), 1)}
_TOKEN = re.compile(r"[\w'-]+")
_ARTICLES = frozenset(('a', 'an', 'the'))
_LIKE_A = re.compile(r'(?:uni[^nmd]|use|usu|eu|one\b|once|u-|ut[ie])')
_LIKE_AN = re.compile(r'(?:[aeiou]|hour|honest|heir)')
_ARTICLE = re.compile(r'\b(an?) ([\w-]+)', re.IGNORECASE)
_PEOPLE = frozenset(('person', 'man', 'woman', 'boy', 'girl', 'child', 'guy', 'lady', 'player', 'kid'))


def article_for(word: str) -> str:
    """Return ``a`` or ``an``."""
    word = word.lower()
    return 'an' if _LIKE_AN.match(word) and not _LIKE_A.match(word) else 'a'


class Reading(NamedTuple):
    """What a text says, as far as the lexicon knows.

    Args:
        words: its attributes, without those inside of the place.
        place: where in the picture, as far as it says so.
        rest: its other words, nouns in the singular, without articles.
    """

    words: tuple[FoundWord, ...]
    place: FoundPlace | None
    rest: tuple[str, ...]

    def meaning(self) -> tuple[Any, ...]:
        """Return the same for texts that say the same: ``grey`` and ``gray``, ``blue`` and ``light blue``."""
        senses = tuple(sorted((SENSES[word.word][0].words[0], word.noun) for word in self.words))
        return senses, self.place and self.place.place, self.rest


class Thing(NamedTuple):
    """Something else in the image.

    Args:
        noun: in the singular.
        reading: of its phrase; None for an annotation.
        box: where it is, if that is known.
        number: ``one``, ``many`` or ``group``.
    """

    noun: str
    reading: Reading | None
    box: tuple[float, ...] | None
    number: str = 'one'


@lru_cache(maxsize=65536)
def read_phrase(text: str) -> Reading:
    """Return what a text says."""
    place = find_place(text)
    spans = [(place.start, place.end)] if place else []
    words = tuple(
        word for word in find_attributes(text) if not place or word.end <= place.start or word.start >= place.end
    )
    spans += [(word.start, word.end) for word in words]
    tokens = (match for match in _TOKEN.finditer(text) if not any(a <= match.start() < b for a, b in spans))
    rest = tuple(singular(token[0].lower()) for token in tokens if token[0].lower() not in _ARTICLES)
    return Reading(words, place, rest)


def head_noun(phrase: Phrase) -> str:
    """Return the noun that a phrase is about, in the singular: as given, or else found by its words."""
    if phrase.noun:
        return singular(phrase.noun.lower())
    reading = read_phrase(phrase.text)
    first = next((word.noun for word in reading.words if word.kind != 'position' and word.noun), '')
    known = next((word for word in reading.rest if is_noun(word)), '')
    return known or first or (reading.rest[-1] if reading.rest else '')


class Scene:
    """An image's things and captions, which negatives of one of its regions are held against.

    Args:
        record: the image; its regions' phrases are taken as true.
        position: of the region in the record.
    """

    def __init__(self, record: ImageRecord, position: int) -> None:
        region = record.regions[position]
        self.size = record.width, record.height
        self.phrase, self.box = region.phrase, region.box
        self.noun = head_noun(region.phrase)
        self.reading = read_phrase(region.phrase.text)
        self.captions = f' {record.caption} {record.short_caption} '.lower()
        self.things = [Thing(head_noun(each), read_phrase(each.text), None, each.number) for each in record.phrases]
        self.things += [
            Thing(head_noun(other.phrase), read_phrase(other.phrase.text), other.box, other.phrase.number)
            for number, other in enumerate(record.regions)
            if number != position
        ]
        for each in record.annotations:
            x, y, width, height = each['bbox']
            box = (x, y, x + width, y + height)
            if _overlap(box, self.box) < _SAME_BOX:
                self.things.append(Thing(_name_of(each), None, box, 'group' if each.get('iscrowd') else 'one'))

    def reasons(self, negative: Negative) -> list[str]:
        """Return which of :data:`REASONS` hold against a negative, ``duplicate`` excepted; none where it is good."""
        reading = read_phrase(negative.text)
        found = dict(
            same=self._says_nothing_new(reading),
            noun=bool(self.noun) and not self._has_noun(negative.text),
            object=_things_named(negative.text) != _things_named(self.phrase.text),
            length=self._is_of_bad_length(negative.text),
            article=_bad_articles(negative.text) > _bad_articles(self.phrase.text),
            twice=_says_twice(reading) and not _says_twice(self.reading),
            elsewhere=self._is_true_elsewhere(reading),
        )
        return [name for name in REASONS if found.get(name)]

    def others(self) -> list[str]:
        """Return nouns of other phrases with their attributes, for an endpoint's eyes."""
        said = [(thing, thing.reading) for thing in self.things if thing.reading is not None]
        return [
            ' '.join([*(w.word for w in reading.words if w.noun == thing.noun), thing.noun]) for thing, reading in said
        ]

    def ends_in_noun(self, text: str) -> bool:
        """Tell whether a part of the phrase ends in its noun, without a second thing in it."""
        words = text.lower().split()
        return singular(' '.join(words)).endswith(self.noun) and not any(map(is_stop, words))

    def is_far_from(self, place: tuple[str, str]) -> bool:
        """Tell whether the region's box is clearly not at a place."""
        return is_clearly_false(place, self.box, self.size, self.phrase.number != 'one')

    def most_like(self, place: tuple[str, str]) -> int:
        """Return how many things of the noun may be at a place; no number above :data:`UNCOUNTED` is known.

        Regions or annotations decide, whichever has more of them.
        """
        like = [
            thing
            for thing in self.things
            if thing.box and _is_same_noun(thing.noun, self.noun) and not is_clearly_false(place, thing.box, self.size)
        ]
        if any(thing.number == 'group' for thing in like):
            return UNCOUNTED
        annotated = sum(thing.reading is None for thing in like)
        return 1 + max(annotated, len(like) - annotated)

    def _says_nothing_new(self, reading: Reading) -> bool:
        """Whether all that a negative says is said by the phrase, as where a word is left out."""
        mine, theirs = self.reading.meaning(), reading.meaning()
        is_placed = theirs[1] is not None and theirs[1] != mine[1]
        return not is_placed and set(theirs[0]) <= set(mine[0]) and set(theirs[2]) <= set(mine[2])

    def _has_noun(self, text: str) -> bool:
        tokens = [token.lower() for token in _TOKEN.findall(text)]
        length = len(self.noun.split())
        chains = (' '.join(tokens[start : start + length]) for start in range(len(tokens)))
        return any(self.noun == singular(chain) for chain in chains)

    def _is_of_bad_length(self, text: str) -> bool:
        words = len(text.split())
        return words < 1 or words > len(self.phrase.text.split()) + _MOST_NEW_WORDS

    def _is_true_elsewhere(self, reading: Reading) -> bool:
        """Whether all that is new in a negative is said, or seen by a box, of another thing of its noun."""
        old = [(word.word, word.noun) for word in self.reading.words]
        new = [word for word in reading.words if (word.word, word.noun) not in old]
        new_place = reading.place is not None and (
            self.reading.place is None or self.reading.place.place != reading.place.place
        )
        if not new and not new_place:
            return False
        place = reading.place.place if reading.place else ('', '')
        if any(word.kind == 'count' and NUMBERS.get(word.word, 99) <= self.most_like(place) for word in new):
            return True
        if any(_is_in_caption(word, self.captions) for word in new) and not new_place and len(new) == 1:
            return True
        return any(
            _is_same_noun(thing.noun, self.noun) and _is_true_of(reading, new, new_place, thing, self.size)
            for thing in self.things
        )


def _is_true_of(
    reading: Reading, new: Sequence[FoundWord], new_place: bool, thing: Thing, size: tuple[int, int]
) -> bool:
    """Whether a negative holds for a thing: all that is new is known of it, and nothing else is known to be false."""
    said = thing.reading.words if thing.reading else ()
    if any(contradicts(a.word, b.word) and _is_same_noun(a.noun, b.noun) for a in reading.words for b in said):
        return False
    if thing.number == 'one' and any(word.kind == 'count' for word in reading.words):
        return False
    place = thing.reading.place.place if thing.reading and thing.reading.place else None
    if reading.place:
        if place and contradict(place, reading.place.place):
            return False
        if thing.box and is_clearly_false(reading.place.place, thing.box, size, thing.number != 'one'):
            return False
        if new_place and not place and not (thing.box and all(size)):
            return False
    return all(any(_share_sense(a.word, b.word) and _is_same_noun(a.noun, b.noun) for b in said) for a in new)


def _name_of(annotation: dict[str, Any]) -> str:
    return singular(annotation['name'].replace('_', ' ').strip().lower())


def _share_sense(word: str, other: str) -> bool:
    return any(other in sense.words for sense in SENSES[word])


def _is_same_noun(noun: str, other: str) -> bool:
    """Whether two nouns may be said of one thing: a man is a person."""
    if noun == other or noun.split()[-1:] == other.split()[-1:]:
        return True
    return 'person' in (noun, other) and noun in _PEOPLE and other in _PEOPLE


def _is_in_caption(word: FoundWord, captions: str) -> bool:
    """Whether a caption has the attribute right before its noun."""
    if not word.noun:
        return False
    nouns = '|'.join(re.escape(each) for each in {word.noun, plural(word.noun)})
    words = '|'.join(re.escape(each) for sense in SENSES[word.word] for each in sense.words)
    return re.search(rf'\b(?:{words}) (?:{nouns})\b', captions) is not None


def _things_named(text: str) -> frozenset[str]:
    """The known nouns of a text, in the singular."""
    return frozenset(word for word in read_phrase(text).rest if is_noun(word))


def _bad_articles(text: str) -> int:
    return sum(match[1].lower() != article_for(match[2]) for match in _ARTICLE.finditer(text))


def _says_twice(reading: Reading) -> bool:
    """Whether two words of one sense, or two counts, are said of one noun."""
    said = Counter((SENSES[word.word][0].words[0], word.noun) for word in reading.words if word.kind != 'position')
    return max(said.values(), default=0) > 1


def _overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes of x1, y1, x2, y2."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return width * height / (sum(areas) - width * height)


@dataclass
class Sifted:
    """What is left of candidates.

    Args:
        good: in their order.
        tally: how many were accepted, or rejected for each first reason, by kind of attribute.
    """

    good: list[Negative]
    tally: dict[str, dict[str, int]]


def sift(scene: Scene, candidates: Iterable[Negative], most: int) -> Sifted:
    """Take the first good ones of some candidates, without duplicates.

    Args:
        scene: of the region.
        candidates: looked at until there are enough.
        most: how many are wanted.
    """
    good: list[Negative] = []
    tally: dict[str, dict[str, int]] = {}
    taken: set[Any] = set()
    for negative in candidates:
        if len(good) == most:
            break
        reasons = scene.reasons(negative)
        plain = ' '.join(token for token in _TOKEN.findall(negative.text.lower()) if token not in _ARTICLES)
        if not reasons and plain in taken:
            reasons = ['duplicate']
        counts = tally.setdefault(negative.kind, {})
        result = reasons[0] if reasons else 'accepted'
        counts[result] = counts.get(result, 0) + 1
        if not reasons:
            taken.add(plain)
            good.append(negative)
    return Sifted(good, tally)


def add_tallies(tallies: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Return the sums of tallies, kinds and reasons in the order of the alphabet."""
    total: dict[str, Counter[str]] = {}
    for tally in tallies:
        for kind, counts in tally.items():
            total.setdefault(kind, Counter()).update(counts)
    return {kind: dict(sorted(total[kind].items())) for kind in sorted(total)}


def sample_rows(records: Sequence[ImageRecord], number: int, seed: int = 0) -> list[dict[str, str]]:
    """Return negatives at random, to be read by eye.

    Returns:
        ``number`` rows, fewer where there are fewer negatives: ``key, phrase, negative, kind, replaced, by``.
    """
    every = [
        dict(key=record.key, phrase=region.phrase.text, negative=negative.text, kind=negative.kind)
        | dict(replaced=negative.replaced, by=negative.by)
        for record in records
        for region in record.regions
        for negative in region.negatives
    ]
    return random.Random(seed).sample(every, min(number, len(every)))


def sample_sheet(records: Sequence[ImageRecord], stage: str, number: int = 30, seed: int = 0) -> str:
    """Return a text to read by eye: accept and reject rates by kind, and negatives at random.

    Args:
        records: with negatives.
        stage: name of the stage that made them; its ``tally`` is read from the records' provenance.
        number: of samples.
        seed: of their choice.
    """
    tally = add_tallies(record.provenance.get(stage, {}).get('tally', {}) for record in records)
    lines = ['Hard negatives', '', 'kind: accepted of all candidates; why the others were not']
    for kind, counts in tally.items():
        rejected = ', '.join(f'{reason} {count}' for reason, count in counts.items() if reason != 'accepted')
        lines.append(f'  {kind}: {counts.get("accepted", 0)} of {sum(counts.values())}; {rejected or "none"}')
    used = {reason for counts in tally.values() for reason in counts if reason in REASONS}
    lines += [f'  ({reason}: {REASONS[reason]})' for reason in REASONS if reason in used]
    rows = sample_rows(records, number, seed)
    lines += ['', f'{len(rows)} samples: good, or bad?']
    for count, row in enumerate(rows, 1):
        lines += [f'{count:3d}. [ ] {row["phrase"]}', f'         {row["negative"]}   ({row["kind"]}, {row["key"]})']
    return '\n'.join(lines) + '\n'
