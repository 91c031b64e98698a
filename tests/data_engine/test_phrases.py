"""The stage of phrases: what it keeps, merges and says of itself."""

import sys
from importlib.resources import files
from types import ModuleType, SimpleNamespace

import pytest

from fgdet.data_engine.image_record import ImageRecord, Phrase
from fgdet.data_engine.noun_phrases import noun_phrases
from fgdet.data_engine.phrases import PhraseExtraction, merge_duplicates
from fgdet.data_engine.word_tables import _TABLES, tables_hash
from fgdet.utils.checks import UserError


def texts(caption: str) -> list[str]:
    return [phrase.text for phrase in merge_duplicates(noun_phrases(caption))]


def test_run__takes_the_long_caption_else_the_short_one_and_says_which():
    stage = PhraseExtraction(model=None)
    records = [
        ImageRecord('a', 'a.jpg', caption='A red mug.', short_caption='a dog'),
        ImageRecord('b', 'b.jpg', short_caption='a dog', provenance={'captions': 'given'}),
        ImageRecord('c', 'c.jpg', phrases=[Phrase('old')]),
    ]
    done = stage.run(records)
    assert [[phrase.text for phrase in each.phrases] for each in done] == [['A red mug'], ['a dog'], []]
    assert [each.provenance['phrases']['source'] for each in done] == ['caption', 'short_caption', None]
    assert done[1].provenance['captions'] == 'given' and 'phrases' not in records[1].provenance
    assert stage.run([]) == []


def test_settings__say_that_the_built_in_tagger_is_the_fallback_only_where_spacy_was_wanted():
    wanted = PhraseExtraction(model='no_such_model')
    expected = dict(tagger='built-in', fallback=True, tables=tables_hash(), max_phrases=None)
    assert wanted.settings() == expected
    assert PhraseExtraction(model=None, max_phrases=2).settings() == {**expected, 'fallback': False, 'max_phrases': 2}
    record = wanted.run([ImageRecord('a', 'a.jpg', caption='a dog')])[0]
    assert record.provenance['phrases'] == dict(
        tagger='built-in', fallback=True, tables=tables_hash(), source='caption'
    )


def test_run__keeps_the_first_phrases_up_to_the_limit():
    record = PhraseExtraction(model=None, max_phrases=2).run([ImageRecord('a', 'a', caption='a dog, a cat, a cow')])[0]
    assert [phrase.text for phrase in record.phrases] == ['a dog', 'a cat']


@pytest.mark.parametrize(
    'arguments', [dict(max_phrases=0), dict(batch_size=0), dict(model='no_such', require_model=True)]
)
def test_init__refuses_limits_under_one_and_a_missing_model(arguments):
    with pytest.raises(UserError, match='phrases: '):
        PhraseExtraction(**arguments)


def test_merge_duplicates__drops_what_names_a_thing_again():
    assert texts('A brown dog and a cat. The dog sleeps, the brown dog.') == ['A brown dog', 'a cat']
    assert texts('A dog. a  Dog! Another dog.') == ['A dog', 'Another dog']
    assert texts('A dog. The black dog. The dogs.') == ['A dog', 'The black dog', 'The dogs']
    assert texts('A dog on the left. A dog on the right. The dog with a ball.') == [
        'A dog on the left',
        'A dog on the right',
        'The dog with a ball',
        'a ball',
    ]


def test_tables_hash__covers_every_table():
    folder = files('fgdet.data_engine') / 'words'
    assert {f'{name}.txt' for name in _TABLES} == {file.name for file in folder.iterdir()}


def test_run__by_a_spacy_model_takes_its_tags(monkeypatch):
    """The model below calls `park` a verb; the built-in tagger takes it for a noun."""
    tags = dict(the='DET DT', cars='NOUN NNS', park='VERB VBP', here='ADV RB', parked='VERB VBN', brick='NOUN NN')
    tags |= dict(wall='NOUN NN', his='PRON PRP$') | {'.': 'PUNCT .'}

    def pipeline(doc):
        split = [(word, *tags[word.lower()].split()) for word in doc]
        return [SimpleNamespace(pos_=p, tag_=t, dep_='amod' if w == 'parked' else '') for w, p, t in split]

    spacy, tokens = ModuleType('spacy'), ModuleType('spacy.tokens')
    pipeline.vocab, pipeline.meta = None, {'version': '3.8.0'}
    spacy.load = lambda name, exclude: pipeline
    tokens.Doc = lambda vocab, words, spaces: words
    monkeypatch.setitem(sys.modules, 'spacy', spacy)
    monkeypatch.setitem(sys.modules, 'spacy.tokens', tokens)
    monkeypatch.setattr('fgdet.data_engine.phrases.find_spec', lambda name: True)
    stage = PhraseExtraction(model='tiny')
    assert stage.settings()['tagger'] == 'spacy tiny 3.8.0' and not stage.settings()['fallback']
    record = stage.run([ImageRecord('a', 'a', caption='The parked cars park here. his brick wall')])[0]
    assert [(p.text, p.noun, p.start) for p in record.phrases] == [
        ('The parked cars', 'cars', 0),
        ('his brick wall', 'wall', 27),
    ]
    assert record.phrases[1].attributes == [{'word': 'brick', 'kind': 'material'}]
