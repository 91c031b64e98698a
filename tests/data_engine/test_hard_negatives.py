"""Negatives change attributes alone; what they say is false of the region and of nothing else in the image."""

import json
from copy import deepcopy
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from fgdet.data_engine.attributes import KINDS
from fgdet.data_engine.hard_negatives import EndpointNegatives, LexiconNegatives
from fgdet.data_engine.image_record import ImageRecord, Phrase, Region
from fgdet.data_engine.negative_checks import Scene
from fgdet.data_engine.stage import Failure
from fgdet.utils.checks import UserError
from tests.data_engine.endpoint_server import Reply, completion, serve

LEFT = (10.0, 40.0, 30.0, 60.0)  # in a picture of 100 by 100


def record_of(*texts, key='1', boxes=None, size=(100, 100), **fields):
    regions = [Region(box, 1.0, Phrase(text)) for text, box in zip(texts, boxes or [LEFT] * len(texts), strict=True)]
    return replace(ImageRecord(key, f'{key}.jpg', size[0], size[1], regions=regions), **fields)


def run(stage, records) -> list[Any]:
    return stage.run(records)


def negatives_of(text, additions=(), number=50, **fields):
    made = run(LexiconNegatives(number, additions=additions), [record_of(text, **fields)])[0]
    return made.regions[0].negatives


# What a person finds acceptable for a phrase, and what not; ``?`` is not asked for.
JUDGED = [
    ('a red mug', 'a blue mug; an orange mug?; a white mug', 'a crimson mug; a wooden mug; a sleeping mug'),
    ('a grey cat', 'a brown cat; a black cat', 'a gray cat; a silver cat; a blue cat'),
    ('a light blue shirt', 'a red shirt; an orange shirt; a white shirt', 'a blue shirt; a light red shirt'),
    ('a large dog', 'a small dog; a tiny dog', 'a big dog; a huge dog; a tall dog'),
    ('an old man', 'a young man', 'a new man; an elderly man'),
    ('an old truck', 'a new truck', 'a young truck; a vintage truck'),
    ('a short woman', 'a tall woman', 'a long woman'),
    ('a woman with long hair', 'a woman with short hair', 'a man with long hair; a woman with tall hair'),
    ('a wooden table', 'a metal table; a glass table', 'a wood table; a leather table; a silk table'),
    ('a leather couch', 'a wooden couch', 'a glass couch; a brick couch'),
    ('a striped shirt', 'a plain shirt; a floral shirt', 'a stripy shirt; a checkered shirt'),
    ('a round plate', 'a square plate', 'a circular plate; an oval plate'),
    ('an open laptop', 'a closed laptop', 'an opened laptop; an shut laptop'),
    ('a closed door', 'an open door', 'a open door'),
    ('a cat sitting on a couch', 'a cat standing on a couch; a cat running on a couch', 'a cat lying on a couch'),
    ('a man walking', 'a man sitting', 'a man standing; a man running'),
    ('a parked car', 'a moving car', 'a stopped car; a sitting car'),
    ('a dirty plate', 'a clean plate', 'a muddy plate'),
    ('an empty bowl', 'a full bowl', 'a filled bowl'),
    ('two dogs', 'three dogs; five dogs', 'one dogs; two cats; 2 dogs; many dogs'),
    ('a cat under a table', 'a cat on top of a table', 'a cat below a table; a cat beneath a table'),
    ('a man in front of a car', 'a man behind a car', 'a man in a car'),
    ('a dog to the left of a bench', 'a dog to the right of a bench', 'a dog to the right of the bench'),
    ('the left hand', 'the right hand', 'the hand'),
    ('a red and white bus', 'a green and white bus; a red and black bus', 'a white and white bus; a red and red bus'),
    ('a white mug with a red handle', 'a white mug with a white handle; a red mug with a red handle', 'a red mug'),
    ('a golden retriever', '', 'a black retriever'),
    ('a thick coat', 'a thin coat', 'a narrow coat'),
    ('A small cat', 'A large cat', 'a large cat; A tall cat'),
    ('Two cats', 'Three cats', 'three cats'),
    ('a man in a blue shirt', 'a man in a red shirt', 'a woman in a blue shirt; a red man in a blue shirt'),
    ('a curly beard', 'a straight beard', 'a wavy beard; a curved beard'),
    ('a straight road', 'a curved road', 'a curly road'),
    ('a fluffy dog', 'a short-haired dog', 'a furry dog; a smooth dog'),
    ('a shiny car', 'a matte car', 'a polished car'),
    ('ripe bananas', 'unripe bananas', 'yellow bananas'),
    ('a brick wall', 'a wooden wall', 'a concrete wall; a stone wall; a silk wall'),
    ('a Red Mug', 'a Green Mug', 'a red mug'),
]  # fmt: skip


@pytest.mark.parametrize(('text', 'good', 'bad'), JUDGED)
def test_lexicon__gives_what_a_person_accepts(text, good, bad):
    found = {negative.text for negative in negatives_of(text)}
    assert not {each.strip() for each in good.split(';') if each and '?' not in each} - found
    assert not {each.strip() for each in bad.split(';') if '?' not in each} & found


@pytest.mark.parametrize(
    'text', ['an orange on a plate', 'a hot dog', 'a woman walking her dog', 'a mug', 'a bag left there', 'x', '']
)
def test_lexicon__changes_nothing_where_there_is_no_attribute(text):
    assert negatives_of(text) == []


def test_lexicon__says_what_it_changed():
    for negative in negatives_of('a small brown dog on the left'):
        kinds = negative.kind.split('+')
        assert set(kinds) <= set(KINDS)
        for old, new in zip(negative.replaced.split(', '), negative.by.split(', '), strict=True):
            assert old in 'a small brown dog on the left' and new in negative.text
    single = negatives_of('a red mug')[0]
    assert (single.kind, single.replaced) == ('colour', 'red') and single.text == f'a {single.by} mug'


def test_lexicon__changes_one_attribute_first_then_two():
    kinds = [negative.kind for negative in negatives_of('a large black cat', number=10)]
    assert sorted(kinds[:4]) == ['colour'] * 3 + ['size'] and kinds[4:7] == ['size+colour'] * 3
    assert kinds[7:] == ['size', 'size']  # a tiny or a little cat comes last


def test_lexicon__adds_only_what_boxes_show_to_be_false():
    added = {each.text for each in negatives_of('a dog', additions=('position', 'count'))}
    assert 'a dog on the right' in added and 'four dogs' in added
    assert not {'a dog on the left', 'a dog in the top left corner', 'a brown dog', 'a dog at the top'} & added
    middle = negatives_of('a dog', additions=('position',), boxes=[(5.0, 5.0, 95.0, 95.0)])
    assert middle == []
    assert negatives_of('a dog', additions=('position', 'count'), size=(0, 0), number=3) != []
    assert negatives_of('a dog', additions=('position',), size=(0, 0)) == []


def test_lexicon__moves_to_places_where_the_box_is_not():
    found = {each.text for each in negatives_of('a dog on the left of the picture')}
    assert 'a dog on the right of the picture' in found
    assert not any('dog on the left' in text or 'top left' in text for text in found)
    relation = {each.text for each in negatives_of('a dog on the left of the couch')}
    assert relation == {'a dog on the right of the couch'}


def test_lexicon__what_is_true_of_another_thing_is_left_out():
    right = (80.0, 40.0, 95.0, 60.0)
    record = record_of('a red mug', 'a blue mug on the right', boxes=[LEFT, right])
    texts = {each.text for each in run(LexiconNegatives(50), [record])[0].regions[0].negatives}
    assert 'a blue mug' not in texts and 'a mug on the right' not in texts and 'a green mug' in texts
    placed = record_of('a red mug on the left', 'a blue mug on the right', boxes=[LEFT, right])
    texts = {each.text for each in run(LexiconNegatives(50), [placed])[0].regions[0].negatives}
    assert 'a blue mug on the left' in texts and 'a blue mug on the right' not in texts
    told = record_of('a red mug', caption='A desk with a red mug and, behind it, white mugs.')
    texts = {each.text for each in run(LexiconNegatives(50), [told])[0].regions[0].negatives}
    assert 'a white mug' not in texts and 'a black mug' in texts


def test_lexicon__counts_and_places_look_at_the_annotations():
    boxes = [dict(name='dog', bbox=[10, 40, 20, 20]), dict(name='dog', bbox=[80, 40, 15, 20])]
    texts = {each.text for each in negatives_of('a dog', additions=('position', 'count'), annotations=boxes)}
    assert 'a dog on the right' not in texts and 'two dogs' not in texts and 'three dogs' in texts
    assert 'a dog in the bottom right corner' in texts or 'a dog in the middle' in texts
    alone = {each.text for each in negatives_of('a dog on the left', additions=('count',), annotations=boxes)}
    assert 'two dogs on the left' in alone  # only one of the two is there


def test_lexicon__is_the_same_for_a_seed_and_key_whatever_the_batch():
    records = [record_of('a small red car', 'a dog', key=str(number)) for number in range(6)]
    before = deepcopy(records)
    whole = run(LexiconNegatives(5, seed=3), records)
    assert records == before
    assert whole == [run(LexiconNegatives(5, seed=3), [record])[0] for record in reversed(records)][::-1]
    assert whole != run(LexiconNegatives(5, seed=4), records)
    assert len({tuple(each.text for each in record.regions[0].negatives) for record in whole}) > 1


def test_lexicon__says_where_there_are_fewer_than_asked_for():
    made = run(LexiconNegatives(additions=()), [record_of('a closed door', 'a red car', 'a mug')])[0]
    assert [len(region.negatives) for region in made.regions] == [1, 9, 0]
    assert made.provenance['negatives']['short'] == 3
    assert made.provenance['negatives']['tally']['state'] == {'accepted': 1}
    assert run(LexiconNegatives(), []) == [] and run(LexiconNegatives(), [ImageRecord('1', 'x')])[0].regions == []


@pytest.mark.parametrize('arguments', [dict(number=0), dict(additions=('colour',))])
def test_lexicon__refuses_wrong_settings(arguments):
    with pytest.raises(UserError, match='expected'):
        LexiconNegatives(**arguments)


# -- the endpoint ------------------------------------------------------------------------------------------------------


def entry(new, old='red', noun='mug', kind='colour'):
    return dict(text=f'a {new} {noun}', kind=kind, replaced=old, by=new)


def answer(*entries):
    return completion(json.dumps(dict(negatives=list(entries))))


def ask(behave, records, number=2, **fields):
    with serve(behave) as server:
        endpoint = dict(url=server.url, model='m', first_wait=0.0, tries=3) | fields
        return run(EndpointNegatives(endpoint, number), records), server


def test_endpoint__keeps_the_good_ones_over_its_answers():
    replies = [
        completion('Sure! Here they are'),
        answer(entry('blue'), entry('blue', noun='cup'), entry('crimson'), entry('blue'), dict(text='a tin mug')),
        Reply(status=500),
        answer(entry('green', kind='mood'), entry('orange') | dict(text='an orange mug')),
    ]
    (made,), server = ask(lambda number, body: replies[number], [record_of('a red mug')], reasks=3)
    assert [each.text for each in made.regions[0].negatives] == ['a blue mug', 'an orange mug']
    assert len(server.bodies) == 4
    told = server.prompts()
    assert 'a red mug' in told[0] and 'not JSON' in told[1]
    assert '1 more are needed' in told[2] and "is not the phrase with 'blue' for 'red'" in told[2]
    provenance = made.provenance['negatives']
    assert provenance['model'] == 'served-model' and provenance['short'] == 0
    assert provenance['tally']['colour'] == dict(accepted=2, duplicate=1, same=1)


def test_endpoint__fewer_good_ones_are_kept_and_none_is_a_failure():
    few = answer(entry('blue'))
    (made,), server = ask(lambda number, body: few, [record_of('a red mug')], reasks=1)
    assert [each.text for each in made.regions[0].negatives] == ['a blue mug'] and len(server.bodies) == 2
    assert made.provenance['negatives']['short'] == 1
    changed = answer(entry('red', 'mug', 'cup', 'colour'), entry('blue', noun='cup'))
    (failure,), _ = ask(lambda number, body: changed, [record_of('a red mug')], reasks=0)
    assert isinstance(failure, Failure) and failure.key == '1' and failure.again
    assert 'is not the phrase' in failure.reason


def test_endpoint__each_region_gets_its_own_answer():
    def behave(number, body):
        noun = 'mug' if '"a red mug"' in body['messages'][0]['content'] else 'car'
        return answer(entry('blue', noun=noun), entry('green', noun=noun))

    records = [record_of('a red mug', 'a red car', key='1'), record_of(key='2'), record_of('a red car', key='3')]
    made, _ = ask(behave, records)
    found = [[[each.text for each in region.negatives] for region in record.regions] for record in made]
    mugs, cars = ['a blue mug', 'a green mug'], ['a blue car', 'a green car']
    assert found == [[mugs, cars], [], [cars]]


def test_endpoint__a_dead_one_fails_each_record_once():
    numbers = count()
    made, _ = ask(
        lambda number, body: Reply(status=[401, 500][next(numbers) > 0]), [record_of('a red mug'), record_of()]
    )
    assert isinstance(made[0], Failure) and made[1].regions == []


def test_scene__finds_noun_of_a_phrase_that_does_not_say_it():
    scene = Scene(record_of('two small brown dogs sleeping on a couch'), 0)
    assert scene.noun == 'dog'
