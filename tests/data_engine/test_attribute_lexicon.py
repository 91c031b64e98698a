"""The lexicon says what is false, and never a word that may be true of the same thing."""

from itertools import product

import pytest

from fgdet.data_engine.attribute_lexicon import SENSES, contradicts, find_attributes, kind_of, swaps
from fgdet.data_engine.attributes import KINDS
from fgdet.data_engine.noun_classes import _CLASSES, OTHER, noun_class, plural, singular

CLASSES = sorted({*_CLASSES.values(), OTHER})


def test_words__are_of_one_kind_and_all_kinds_have_some():
    kinds = {word: {sense.kind for sense in senses} for word, senses in SENSES.items()}
    assert {word for word, found in kinds.items() if len(found) > 1} == set()
    assert {kind_of(word) for word in SENSES} == set(KINDS)
    assert kind_of('Red') == 'colour' and kind_of('mug') is None


def test_swaps__never_give_the_word_or_what_can_be_true_with_it():
    together = {word: {other for sense in senses for other in sense.words} for word, senses in SENSES.items()}
    for word, of_class, synonyms in product(SENSES, CLASSES, (False, True)):
        for other in swaps(word, of_class, synonyms):
            assert other not in together[word] and word not in together[other], (word, other)
            assert kind_of(other) == kind_of(word)
            assert contradicts(word, other) and contradicts(other, word)


@pytest.mark.parametrize(
    'pair',
    [
        'grey/gray', 'light blue/blue', 'navy/blue', 'dark red/red', 'tan/brown', 'silver/grey', 'small/tiny',
        'large/big', 'metal/steel', 'beige/white', 'teal/blue', 'lying/sleeping', 'sitting/perched', 'two/2',
        'standing/walking', 'cotton/denim', 'red/wooden', 'large/tall', 'round/oval', 'under/below',
    ],
)  # fmt: skip
def test_contradicts__not_where_both_can_be_true(pair):
    one, two = pair.split('/')
    assert not contradicts(one, two) and not contradicts(two, one)


@pytest.mark.parametrize(
    'pair', ['red/blue', 'wooden/metal', 'open/closed', 'old/new', 'old/young', 'short/tall', 'short/long', 'two/three']
)
def test_contradicts__opposites(pair):
    one, two = pair.split('/')
    assert contradicts(one, two) and contradicts(two, one)


@pytest.mark.parametrize(
    ('noun', 'word', 'never'),
    [
        ('dog', 'brown', 'blue pink green'),
        ('dog', 'large', 'tall short'),
        ('dog', 'sitting', 'parked closed'),
        ('man', 'old', 'new'),
        ('car', 'old', 'young elderly'),
        ('man', 'short', 'long'),
        ('mug', 'white', 'blonde golden transparent'),
        ('mug', 'ceramic', 'silk leather brick'),
        ('shirt', 'cotton', 'wooden brick glass'),
        ('couch', 'leather', 'glass paper concrete'),
        ('hair', 'blonde', 'green striped'),
        ('thingumajig', 'wooden', 'silk brick'),
    ],
)
def test_swaps__suit_the_noun(noun, word, never):
    of_class = noun_class([noun])
    found = {*swaps(word, of_class), *swaps(word, of_class, synonyms=True)}
    assert not found & set(never.split())
    assert found or (noun, word) == ('thingumajig', 'wooden')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('a red mug with a wooden handle', 'red mug, wooden handle'),
        ('a light blue shirt', 'light blue shirt'),
        ('an orange on a plate', ''),
        ('an orange cat', 'orange cat'),
        ('a hot dog with mustard', ''),
        ('a hot cup of coffee', 'hot cup'),
        ('a glass of orange juice', ''),
        ('a glass bottle', 'glass bottle'),
        ('a red and white bus', 'red bus, white bus'),
        ('two large, brown bears', 'two bear, large bear, brown bear'),
        ('a man in a blue shirt standing next to a white car', 'blue shirt, standing man, next to shirt, white car'),
        ('a woman walking her dog', ''),
        ('a cat sleeping on a couch', 'sleeping cat'),
        ('a bag left on the bench', ''),
        ('the left hand', 'left hand'),
        ('a cut of meat', ''),
        ('a car parked on the street', 'parked car'),
        ('two tennis balls', 'two balls'),
        ('', ''),
        ('RED MUGS', 'red mug'),
    ],
)
def test_find_attributes__and_what_they_are_said_of(text, expected):
    found = find_attributes(text)
    wanted = [part.replace('balls', 'ball') for part in expected.split(', ') if part]
    assert [f'{word.word} {word.noun}' for word in found] == wanted
    assert all(text[word.start : word.end].lower() == word.word for word in found)


def test_nouns__to_the_plural_and_back():
    for noun in _CLASSES:
        assert singular(plural(noun)) == noun
    pairs = dict(box='boxes', city='cities', firefighter='firefighters', sheep='sheep', policeman='policemen')
    assert {one: plural(one) for one in pairs} == pairs
    assert (singular('glass'), singular('buses'), singular('wine glasses')) == ('glass', 'bus', 'wine glass')


def test_noun_class__takes_the_last_words():
    assert noun_class(['small', 'tennis', 'balls']) == 'toy'
    assert noun_class(['baseball', 'bat']) == 'tool'
    assert noun_class(['teddy', 'bear']) == 'toy' and noun_class(['bear']) == 'animal'
    assert noun_class(['quark']) == noun_class([]) == OTHER
