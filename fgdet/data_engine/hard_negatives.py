"""Hard negatives: phrases that are wrong of a region in their attributes alone, as FG-CLIP trains with ten of each.

FG-CLIP (arXiv 2505.05071), section 3.2: the attributes of a region's description are changed, its object is kept.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations, zip_longest
from typing import Any, NamedTuple

from fgdet.data_engine import attribute_lexicon, negative_checks
from fgdet.data_engine.attribute_lexicon import FoundWord, swaps
from fgdet.data_engine.attributes import KINDS
from fgdet.data_engine.endpoint import ChatEndpoint, ChatRequest, parse_json
from fgdet.data_engine.image_record import ImageRecord, Negative
from fgdet.data_engine.negative_checks import NUMBERS, REASONS, Scene, add_tallies, article_for, sift
from fgdet.data_engine.noun_classes import is_countable, plural
from fgdet.data_engine.picture_places import PLACES, contradict
from fgdet.data_engine.prompt_files import load_prompt
from fgdet.data_engine.stage import Failure
from fgdet.utils.checks import UserError

#: Most pairs of changes that are looked at for a phrase.
_MOST_PAIRS = 200
#: Numbers that are added to a phrase, and how many things of its noun there may be: more are often miscounted.
_MOST_NUMBERS, _MOST_COUNTED = 4, 5


class Change(NamedTuple):
    """Other words for a part of a phrase; nothing is replaced where ``start`` is ``end``.

    Args:
        start: first character of the part.
        end: the character after its last.
        kind: of attribute.
        replaced: the true words, empty for an addition.
        by: the false words.
        noun_end: where the noun ends that becomes a plural; 0 for none.
    """

    start: int
    end: int
    kind: str
    replaced: str
    by: str
    noun_end: int = 0


class LexiconNegatives:
    """Swaps attributes by the lexicon; needs nothing but the records.

    First one attribute is another one, then two. Where that gives too few, an attribute is added that is measured to be
    false: a place that the region's box is far from, or a number of things where the box holds one. Nothing else is
    added, since it may be true of the image: a region can have fewer negatives than were asked for, which the
    provenance says (``short``).

    Args:
        number: negatives of each region.
        seed: of the choice.
        additions: kinds that may be added, of ``position`` and ``count``.

    Raises:
        UserError: a setting is wrong.
    """

    name = 'negatives'
    batch_size = 64

    def __init__(self, number: int = 10, seed: int = 0, additions: Sequence[str] = ('position', 'count')) -> None:
        self.number, self.seed, self.additions = _checked(number), seed, tuple(additions)
        if unknown := set(self.additions) - {'position', 'count'}:
            raise UserError(f'additions: expected position and count, got {", ".join(sorted(unknown))}')

    def settings(self) -> dict[str, Any]:
        """Return the arguments and the versions of the tables."""
        return dict(
            maker='lexicon',
            number=self.number,
            seed=self.seed,
            additions=list(self.additions),
            lexicon=attribute_lexicon.VERSION,
            checks=negative_checks.VERSION,
        )

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Return the records with negatives of all their regions."""
        return [self._with_negatives(record) for record in records]

    def _with_negatives(self, record: ImageRecord) -> ImageRecord:
        found = []
        for position in range(len(record.regions)):
            rng = random.Random(f'{self.seed} {record.key} {position}')
            scene = Scene(record, position)
            found.append(sift(scene, candidates(scene, rng, self.additions), self.number))
        made = dict(maker='lexicon', lexicon=attribute_lexicon.VERSION)
        return _finished(record, self.name, self.number, found, made)


class EndpointNegatives:
    """Asks an OpenAI-compatible text endpoint, one question for each region, and checks the answers.

    An answer must be JSON of the asked form, in which each negative is the phrase with one part replaced; where too
    few pass the checks it is asked again with the reasons. What passed is kept over the questions: after the last one a
    region has those, and fewer than were asked for where they do not suffice.

    Args:
        endpoint: arguments of :class:`~fgdet.data_engine.endpoint.ChatEndpoint`.
        number: negatives of each region.
        prompt: a prompt of the package, or a file with ``{number}``, ``{phrase}``, ``{noun}``, ``{others}`` in it.

    Raises:
        UserError: a setting is wrong, or the prompt lacks a field.
    """

    name = 'negatives'
    batch_size = 32
    in_process = True

    def __init__(self, endpoint: dict[str, Any], number: int = 10, prompt: str = 'hard_negatives') -> None:
        self.endpoint, self.number, self.prompt = ChatEndpoint(**endpoint), _checked(number), load_prompt(prompt)
        for field in ('{number}', '{phrase}', '{noun}', '{others}'):
            if field not in self.prompt.text:
                raise UserError(f'prompt {prompt}: {field} is not in it')

    def settings(self) -> dict[str, Any]:
        """Return what decides the answers; no key."""
        checks = negative_checks.VERSION
        return dict(maker='endpoint', number=self.number, prompt=self.prompt.label(), checks=checks) | dict(
            endpoint=self.endpoint.settings()
        )

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Return the records with negatives of all their regions, or why the endpoint gave none for one of them."""
        gathered = [
            _Gathered(Scene(record, position), self.number)
            for record in records
            for position in range(len(record.regions))
        ]
        keys = [f'{record.key}#{position}' for record in records for position in range(len(record.regions))]
        requests = [
            ChatRequest(key, self._question(each.scene), check=each.check)
            for key, each in zip(keys, gathered, strict=True)
        ]
        answers = iter(zip(self.endpoint.ask_many(requests) if requests else [], gathered, strict=True))
        results: list[ImageRecord | Failure] = []
        for record in records:
            mine = [next(answers) for _ in record.regions]
            failed = [answer for answer, each in mine if isinstance(answer, Failure) and not each.good]
            if failed:
                results.append(Failure(record.key, failed[0].reason, failed[0].again))
                continue
            found = [negative_checks.Sifted(each.good, add_tallies(each.tallies)) for _, each in mine]
            whole = [answer for answer, _ in mine if not isinstance(answer, Failure)]
            made = dict(maker='endpoint', prompt=self.prompt.label(), model=whole[0].model if whole else '')
            for name in ('prompt_tokens', 'completion_tokens', 'cost'):
                made[name] = round(sum(getattr(answer, name) for answer in whole), 9)
            results.append(_finished(record, self.name, self.number, found, made))
        return results

    def _question(self, scene: Scene) -> str:
        others = sorted({thing.noun for thing in scene.things if thing.reading is None} | set(scene.others()))
        values = dict(
            number=str(self.number),
            phrase=scene.phrase.text,
            noun=scene.noun or scene.phrase.text,
            others='; '.join(others) or 'nothing else is known',
        )
        text = self.prompt.text
        for name, value in values.items():
            text = text.replace('{' + name + '}', value)
        return text


class _Gathered:
    """The good negatives of one region over the answers to one question."""

    def __init__(self, scene: Scene, number: int) -> None:
        self.scene, self.number = scene, number
        self.good: list[Negative] = []
        self.tallies: list[dict[str, dict[str, int]]] = []

    def check(self, text: str) -> list[Negative]:
        """Take the good ones of an answer; ValueError says what is wrong where there are still too few."""
        content = parse_json(text)
        listed = content.get('negatives') if isinstance(content, dict) else None
        if not isinstance(listed, list):
            raise ValueError('it is no JSON object with a list "negatives"')
        wrong, new = [], []
        for entry in listed:
            try:
                new.append(self._negative(entry))
            except ValueError as error:
                wrong.append(str(error))
        before = len(self.good)
        sifted = sift(self.scene, [*self.good, *new], self.number)
        for each in new:
            if each not in sifted.good:
                reasons = self.scene.reasons(each) or ['duplicate']
                wrong.append(f'{each.text!r}: {", ".join(REASONS[reason] for reason in reasons)}')
        self.tallies.append(sift(self.scene, new, self.number).tally)
        self.good = sifted.good
        if len(self.good) < self.number:
            lacking = self.number - len(self.good)
            raise ValueError(
                f'{len(self.good) - before} of its {len(listed)} negatives are good, {lacking} more are needed '
                f'({"; ".join(wrong[:5]) or "it has too few"})'
            )
        return self.good

    def _negative(self, entry: Any) -> Negative:
        """Check the form of an entry."""
        fields = ('text', 'kind', 'replaced', 'by')
        if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in fields):
            raise ValueError(f'each negative needs the texts {", ".join(fields)}')
        text, kind, old, new = (' '.join(entry[name].split()) for name in fields)
        if kind not in KINDS:
            raise ValueError(f'{kind!r} is no kind: {", ".join(KINDS)}')
        phrase = self.scene.phrase.text
        if not old or old.lower() not in phrase.lower() or not new:
            raise ValueError(f'{old!r} is not in the phrase')
        position = phrase.lower().index(old.lower())
        rewritten = rewrite(phrase, [Change(position, position + len(old), kind, old, new)])
        if _plain(rewritten) != _plain(text):
            raise ValueError(f'{text!r} is not the phrase with {new!r} for {old!r}')
        return Negative(rewritten, kind, old, new)


def candidates(
    scene: Scene, rng: random.Random, additions: Sequence[str] = ('position', 'count')
) -> Iterator[Negative]:
    """Yield negatives of a region, the best first; none is checked.

    Args:
        scene: of the region.
        rng: decides over the order of equally good ones.
        additions: kinds that may be added.
    """
    phrase = scene.phrase.text
    make = partial(_negative, phrase)
    slots = [_swapped(word, rng, False) for word in scene.reading.words]
    slots.append(_moved(scene, rng))
    slots = [slot for slot in slots if slot]
    rng.shuffle(slots)
    yield from (make([change]) for change in _in_turn(slots))
    pairs = [pair for one, two in combinations(slots, 2) for pair in _pairs(one, two)]
    yield from (make(list(pair)) for pair in rng.sample(pairs, min(len(pairs), _MOST_PAIRS)))
    added = [_placed(scene, rng)] * ('position' in additions) + [_counted(scene, rng)] * ('count' in additions)
    yield from (make([change]) for change in _in_turn(added))
    yield from (make([change]) for change in _in_turn([_swapped(word, rng, True) for word in scene.reading.words]))


def rewrite(phrase: str, changes: Sequence[Change]) -> str:
    """Return a phrase with parts of it replaced, and the articles before them made to fit."""
    text = phrase
    for change in sorted(changes, key=lambda each: -each.start):
        before, after = text[: change.start], text[change.end :]
        if change.noun_end:
            noun = text[change.end : change.noun_end]
            head, space, last = noun.rpartition(' ')
            after = head + space + plural(last) + text[change.noun_end :]
        words = before.split(' ')
        if len(words) > 1 and words[-2].lower() in ('a', 'an') and not words[-1]:
            fitting = article_for(change.by)
            words[-2] = fitting.capitalize() if words[-2][0].isupper() else fitting
            before = ' '.join(words)
        text = before + _like(change.by, phrase[change.start : change.end]) + after
    return text


def _like(word: str, old: str) -> str:
    """The word with a capital where the old one has it."""
    return word[:1].upper() + word[1:] if old[:1].isupper() else word


def _swapped(word: FoundWord, rng: random.Random, synonyms: bool) -> list[Change]:
    others = list(swaps(word.word, word.noun_class, synonyms))
    rng.shuffle(others)
    if word.kind == 'count':  # two is taken for three sooner than for nine
        others.sort(key=lambda other: abs(NUMBERS.get(other, 0) - NUMBERS.get(word.word, 0)))
    return [Change(word.start, word.end, word.kind, word.word, other) for other in others]


def _moved(scene: Scene, rng: random.Random) -> list[Change]:
    """Other places for the one that the phrase names: opposite ones, and not where the box is."""
    place = scene.reading.place
    if place is None:
        return []
    known = all(scene.size)
    false = [
        name
        for name, other in PLACES.items()
        if contradict(other, place.place) and (not known or scene.is_far_from(other))
    ]
    rng.shuffle(false)
    old = scene.phrase.text[place.start : place.end]
    return [Change(place.start, place.end, 'position', old, name + place.frame) for name in false]


def _placed(scene: Scene, rng: random.Random) -> list[Change]:
    """Places to add, far from where the box is."""
    end = len(scene.phrase.text.rstrip(' .'))
    if scene.reading.place is not None or not end:
        return []
    false = [name for name, place in PLACES.items() if scene.is_far_from(place)]
    rng.shuffle(false)
    return [Change(end, end, 'position', '', f' {name}') for name in false]


def _counted(scene: Scene, rng: random.Random) -> list[Change]:
    """Numbers for the article of a phrase about one thing, above how many of them there may be."""
    phrase, place = scene.phrase.text, scene.reading.place
    end = place.start - 1 if place else len(phrase.rstrip(' .'))
    head = phrase[:end]
    article, _, rest = head.partition(' ')
    is_one = scene.phrase.number == 'one' and article.lower() in ('a', 'an', 'one') and "'" not in head
    most = scene.most_like(place.place if place else ('', ''))
    if not is_one or not scene.ends_in_noun(rest) or not is_countable(scene.noun) or most > _MOST_COUNTED:
        return []
    numbers = [name for name, number in NUMBERS.items() if number > most][:_MOST_NUMBERS]
    rng.shuffle(numbers)
    return [Change(0, len(article), 'count', article, number, end) for number in numbers]


def _pairs(one: Sequence[Change], two: Sequence[Change]) -> Iterator[tuple[Change, Change]]:
    yield from ((a, b) for a in one for b in two if a.by != b.by)


def _in_turn(slots: Sequence[Sequence[Change]]) -> Iterator[Change]:
    """One of each slot, then the next of each."""
    for row in zip_longest(*slots):
        yield from (change for change in row if change is not None)


def _negative(phrase: str, changes: list[Change]) -> Negative:
    """The negative that changes make; of several, kinds and words are joined from left to right."""
    changes = sorted(changes, key=lambda each: each.start)
    return Negative(
        rewrite(phrase, changes),
        '+'.join(dict.fromkeys(change.kind for change in changes)),
        ', '.join(change.replaced for change in changes),
        ', '.join(change.by.strip() for change in changes),
    )


def _finished(
    record: ImageRecord, name: str, number: int, found: Sequence[negative_checks.Sifted], made: dict[str, Any]
) -> ImageRecord:
    """The record with the negatives, and what is to be known of them."""
    regions = [replace(region, negatives=each.good) for region, each in zip(record.regions, found, strict=True)]
    short = sum(len(each.good) < number for each in found)
    made = made | dict(short=short, tally=add_tallies(each.tally for each in found))
    return replace(record, regions=regions, provenance=record.provenance | {name: made})


def _plain(text: str) -> list[str]:
    return [word for word in text.lower().rstrip('. ').split() if word not in ('a', 'an')]


def _checked(number: int) -> int:
    if number < 1:
        raise UserError(f'number of negatives: expected 1 or more, got {number}')
    return number
