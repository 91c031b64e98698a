"""Noun phrases of captions against phrases written down by hand."""

import random
from pathlib import Path

import pytest

from fgdet.data_engine.image_record import Phrase
from fgdet.data_engine.noun_phrases import noun_phrases
from fgdet.data_engine.word_tags import tag_words

CAPTIONS = Path(__file__).parent / 'captions'
NUMBERS = {'': 'one', '*': 'many', '**': 'group'}


def read_worked(name: str) -> dict[str, list[Phrase]]:
    """Captions and their phrases from a file in the form that held_out.txt explains."""
    found: dict[str, list[Phrase]] = {}
    for block in (CAPTIONS / name).read_text(encoding='utf-8').split('\n\n'):
        caption, *lines = [line for line in block.strip().splitlines() if not line.startswith('#')] or ['']
        if caption:
            found[caption] = [read_phrase(caption, line) for line in lines]
    return found


def read_phrase(caption: str, line: str) -> Phrase:
    text, noun, attributes = (part.strip() for part in line.split('|'))
    words = [part.rsplit(':', 1) for part in split_attributes(attributes)]
    start = caption.index(text)
    name = noun.rstrip('*')
    return Phrase(
        text,
        start,
        start + len(text),
        name,
        [{'word': word, 'kind': kind} for word, kind in words],
        NUMBERS[noun[len(name) :]],
    )


def split_attributes(text: str) -> list[str]:
    """`in the middle:position red:colour` -> its two attributes."""
    found, words = [], []
    for word in text.split():
        words.append(word)
        if ':' in word:
            found.append(' '.join(words))
            words = []
    return found


def scores(worked: dict[str, list[Phrase]]) -> dict[str, float]:
    """Precision and recall of the texts; shares of right nouns, numbers and attributes among texts that are right."""
    hits, found, wanted = [], 0, 0
    for caption, truth in worked.items():
        phrases = {each.text: each for each in noun_phrases(caption)}
        found, wanted = found + len(phrases), wanted + len(truth)
        hits += [(phrases[each.text], each) for each in truth if each.text in phrases]
    equal = {
        name: sum(getattr(a, name) == getattr(b, name) for a, b in hits) / len(hits)
        for name in ('noun', 'number', 'attributes')
    }
    return dict(precision=len(hits) / found, recall=len(hits) / wanted, **equal)


WORKED = read_worked('worked.txt')


@pytest.mark.parametrize('caption', WORKED, ids=lambda caption: caption[:40])
def test_noun_phrases__are_those_worked_out_by_hand(caption):
    assert noun_phrases(caption) == WORKED[caption]


def test_noun_phrases__of_captions_that_were_held_out():
    found = scores(read_worked('held_out.txt'))
    assert {name: round(value, 3) for name, value in found.items()} == dict(
        precision=0.954, recall=0.977, noun=1.0, number=1.0, attributes=1.0
    )


@pytest.mark.parametrize(
    'caption', ['', ' ', '.', '\n\t', '"', "'s", "s' ", 'of', 'a', 'the the', '🙂', '\x00', '-', '1', ',,,', 'with']
)
def test_noun_phrases__are_none_where_no_thing_is_named(caption):
    assert noun_phrases(caption) == []


VOCABULARY = """
a the no two of with in on and , . " 's red wooden dog dogs crowd cup of people background holding wearing sitting
is made left orange light stands reads that one traffic light İ ß e\u0301 \u2019s \u201c \u201d
"""
# Units whose repetition nests or never ends.
CHAINS = [
    'a dog of ',
    'a dog holding ',
    'a dog with ',
    'a crowd of ',
    "man's ",
    'very ',
    'red, ',
    'a man wearing a hat and ',
]
WORDS = VOCABULARY.split()


def random_captions(number: int = 600) -> list[str]:
    """A third of any characters, a third of words, a third of words without blanks."""
    rng = random.Random(0)
    signs = [
        chr(code) for code in (*range(0x250), *range(0x300, 0x310), *range(0x2010, 0x2030), 0x4E2D, 0x1F642, 0xD800)
    ]
    captions = []
    for _ in range(number // 3):
        captions.append(''.join(rng.choices(signs, k=rng.randrange(60))))
        captions.append(' '.join(rng.choices(WORDS, k=rng.randrange(25))))
        captions.append(''.join(rng.choices(WORDS, k=rng.randrange(9))))
    return captions


def test_noun_phrases__stand_in_the_caption_and_nest_or_are_apart():
    for caption in random_captions():
        phrases = noun_phrases(caption)
        for phrase in phrases:
            assert phrase.text and caption[phrase.start : phrase.end] == phrase.text
            assert phrase.noun.split()[0] in phrase.text.lower()
            assert all(each['word'] in phrase.text for each in phrase.attributes)
        for first in phrases:
            for second in phrases:
                assert not first.start < second.start < first.end < second.end, (first, second)
        assert [each.start for each in phrases] == sorted({each.start for each in phrases})
        assert tag_words(caption) == tag_words(caption)


@pytest.mark.parametrize('unit', CHAINS)
def test_noun_phrases__of_an_endless_caption_nest_or_are_apart(unit):
    caption = unit * 3000
    phrases = noun_phrases(caption)
    ends: list[int] = []
    for phrase in phrases:
        ends = [end for end in ends if end > phrase.start]
        assert all(phrase.end <= end for end in ends) and len(ends) < 5
        ends.append(phrase.end)
