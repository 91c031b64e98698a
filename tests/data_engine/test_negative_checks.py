"""Each check on a negative that fails by it alone; rates and samples add up."""

import pytest

from fgdet.data_engine.hard_negatives import LexiconNegatives
from fgdet.data_engine.image_record import ImageRecord, Negative, Phrase, Region
from fgdet.data_engine.negative_checks import (
    Scene,
    add_tallies,
    article_for,
    head_noun,
    sample_rows,
    sample_sheet,
    sift,
)
from fgdet.data_engine.picture_places import find_place, is_clearly_false

BOX = (10.0, 10.0, 30.0, 30.0)


def record_of(*phrases, **fields):
    regions = [Region((10.0 + 60 * n, 10.0, 30.0 + 60 * n, 30.0), 1.0, Phrase(text)) for n, text in enumerate(phrases)]
    return ImageRecord('1', '1.jpg', 100, 100, regions=regions, **fields)


@pytest.mark.parametrize(
    ('phrase', 'negative', 'reasons'),
    [
        ('a grey cat', 'a black cat', []),
        ('a grey cat', 'a gray cat', ['same']),
        ('a grey cat', 'the grey cat', ['same']),
        ('a light blue shirt', 'a blue shirt', ['same']),
        ('a small grey cat', 'a grey cat', ['same']),
        ('a red and white bus', 'a white and red bus', ['same']),
        ('a red mug', 'a blue cup', ['noun', 'object']),
        ('a red mug', 'a blue', ['noun', 'object']),
        ('a red mug on a table', 'a blue mug on a chair', ['object']),
        ('a red mug on a table', 'a blue mug', ['object']),
        ('a red mug', 'an blue mug', ['article']),
        ('a red mug', 'a orange mug', ['article']),
        ('a red and white bus', 'a blue and blue bus', ['twice']),
        ('a red mug', 'a blue mug ' + 'so ' * 9, ['length']),
        ('two dogs', 'three dogs', []),
        ('a red mug', 'two blue mugs', []),
    ],
)
def test_reasons__of_a_lone_phrase(phrase, negative, reasons):
    assert Scene(record_of(phrase), 0).reasons(Negative(negative)) == reasons


@pytest.mark.parametrize(
    ('other', 'negative', 'is_true'),
    [
        ('a blue mug', 'a blue mug', True),
        ('a navy mug', 'a blue mug', True),  # perhaps
        ('a large blue mug', 'a blue mug', True),
        ('a blue car', 'a blue mug', False),
        ('a blue mug', 'a green mug', False),
        ('a mug', 'a blue mug', False),  # not known
        ('a blue mug', 'a blue mug on the left', False),  # the other one's box is on the right
        ('a blue mug', 'a blue mug on the right', True),
        ('a small blue mug', 'a large blue mug', False),
        ('a mug with a blue handle', 'a blue mug', False),
    ],
)
def test_reasons__of_a_phrase_among_others(other, negative, is_true):
    scene = Scene(record_of('a red mug', other), 0)
    assert scene.reasons(Negative(negative)) == ['elsewhere'] * is_true


def test_reasons__a_man_is_a_person():
    scene = Scene(record_of('a person on the left', 'a tall man'), 0)
    assert scene.reasons(Negative('a person on the right')) == ['elsewhere']


def test_reasons__numbers_up_to_what_is_there():
    dogs = [dict(name='dog', bbox=[10 + 25 * n, 10, 20, 20]) for n in range(3)]
    scene = Scene(record_of('a dog', annotations=dogs), 0)
    found = [scene.reasons(Negative(f'{number} dogs')) for number in ('two', 'three', 'four')]
    assert found == [['elsewhere'], ['elsewhere'], []]
    crowd = Scene(record_of('a dog', annotations=[dict(name='dog', bbox=[60, 10, 20, 20], iscrowd=1)]), 0)
    assert crowd.reasons(Negative('ten dogs')) == ['elsewhere']


def test_sift__takes_the_first_good_ones_and_counts_all_it_looked_at():
    texts = ['a blue mug', 'a blue mug', 'a crimson mug', 'The blue mug', 'an orange mug', 'a green mug']
    sifted = sift(Scene(record_of('a red mug'), 0), [Negative(text, 'colour') for text in texts], 2)
    assert [each.text for each in sifted.good] == ['a blue mug', 'an orange mug']
    assert sifted.tally == {'colour': dict(accepted=2, duplicate=2, same=1)}
    assert sift(Scene(record_of('a red mug'), 0), [], 2).good == []
    assert add_tallies([sifted.tally, {'size': {'same': 1}}, sifted.tally]) == {
        'colour': dict(accepted=4, duplicate=4, same=2),
        'size': dict(same=1),
    }


def test_sheet__has_rates_and_samples():
    made = LexiconNegatives(3, additions=()).run([record_of('a grey cat', 'an old cat')])
    records = [record for record in made if isinstance(record, ImageRecord)]
    assert len(sample_rows(records, 3)) == 3 and len(sample_rows(records, 50)) == 4
    assert sample_rows(records, 3, seed=1) == sample_rows(records, 3, seed=1)
    sheet = sample_sheet(records, 'negatives', 2)
    assert '  colour: 3 of 3; none' in sheet and '2 samples' in sheet and sheet.count('[ ]') == 2
    assert sample_rows([], 5) == [] and '0 samples' in sample_sheet([], 'negatives')


@pytest.mark.parametrize(
    ('text', 'noun'),
    [
        ('two small brown dogs', 'dog'),
        ('a man in a blue shirt', 'man'),
        ('an orange on a plate', 'orange'),
        ('a blue gizmo', 'gizmo'),
        ('', ''),
    ],
)
def test_head_noun__where_none_is_given(text, noun):
    assert head_noun(Phrase(text)) == noun
    assert head_noun(Phrase(text, noun='Men')) == 'man'


def test_article_for__sounds():
    phrases = """an orange, an unlit, an old, a unicorn, a used, a one, an honest, an hour, a european, an ugly, a red,
    an umbrella, a uniform, a university, an unusual, a utensil"""
    for article, word in map(str.split, phrases.split(',')):
        assert article_for(word) == article, word


@pytest.mark.parametrize(
    ('text', 'place', 'part'),
    [
        ('a dog on the left', ('left', ''), 'on the left'),
        ('a dog at the top left', ('left', 'top'), 'at the top left'),
        ('a dog in the upper right-hand corner of the image', ('right', 'top'), None),
        ('a dog in the center of the photo', ('middle', ''), 'in the center of the photo'),
        ('a dog at the bottom of the picture', ('', 'bottom'), 'at the bottom of the picture'),
        ('a dog on the left side', ('left', ''), 'on the left side'),
    ],
)
def test_find_place__reads_it(text, place, part):
    found = find_place(text)
    assert found is not None and found.place == place
    assert part is None or text[found.start : found.end] == part


@pytest.mark.parametrize(
    'text', ['a dog to the left of a car', 'the top of a hill', 'a dog at the bottom of the stairs']
)
def test_find_place__not_where_it_is_a_place_of_something_else(text):
    assert find_place(text) is None


@pytest.mark.parametrize(
    ('place', 'box', 'one', 'many'),
    [
        (('left', ''), (70, 0, 90, 20), True, True),
        (('left', ''), (30, 0, 100, 20), True, False),  # of many, some may be there
        (('left', ''), (10, 0, 30, 20), False, False),
        (('left', ''), (40, 0, 60, 20), False, False),
        (('', 'bottom'), (0, 0, 90, 20), True, True),
        (('right', 'top'), (70, 70, 90, 90), True, True),
        (('middle', ''), (80, 0, 100, 20), True, True),
        (('middle', ''), (0, 0, 100, 20), False, False),
    ],
)
def test_is_clearly_false__by_the_box(place, box, one, many):
    assert is_clearly_false(place, box, (100, 100)) is one
    assert is_clearly_false(place, box, (100, 100), of_many=True) is many
    assert not is_clearly_false(place, box, (0, 100))
