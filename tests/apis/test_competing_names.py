"""Which trained names stand against the asked ones."""

import pytest

from fgdet.apis import competing_names as module
from fgdet.apis.competing_names import competing_names, with_competition
from fgdet.structures.vocabulary import Vocabulary

TRAINED = Vocabulary(
    ['car', 'dog', 'red solid ring', 'traffic light', 'sofa', 'zebra'],
    base=['car', 'dog', 'red solid ring', 'traffic light', 'sofa'],
    synonyms={'sofa': ['couch']},
)


@pytest.mark.parametrize(
    ('names', 'left_out'),
    [
        (['unicorn'], set()),
        (['red car'], {'car'}),  # a kind of it
        (['Car', 'a dog'], {'car', 'dog'}),  # the same
        (['ring'], {'red solid ring'}),  # it is a kind of this
        (['traffic-light'], {'traffic light'}),
        (['leather couch'], {'sofa'}),  # by its synonym
        (['light', 'cart'], {'traffic light'}),  # whole words only
    ],
)
def test_competing__words_in_common_stand_aside(names: list[str], left_out: set[str]) -> None:
    assert set(competing_names(Vocabulary(names), TRAINED)) == set(TRAINED.names) - left_out


def test_competing__synonyms_of_the_asked_stand_aside_too() -> None:
    asked = Vocabulary(['puppy'], synonyms={'puppy': ['dog']})
    assert 'dog' not in competing_names(asked, TRAINED)
    assert competing_names(TRAINED, TRAINED) == ()


def test_with_competition__in_every_template_or_in_one_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = Vocabulary(TRAINED.names, base=TRAINED.base, negatives=['shadow'], background=['a wall.'])
    some = with_competition(Vocabulary(['red car']), trained)
    assert some.negatives == ('shadow', 'dog', 'red solid ring', 'traffic light', 'sofa', 'zebra')
    assert some.background == ('a wall.',)
    monkeypatch.setattr(module, 'MAX_ENSEMBLED', 4)
    many = with_competition(Vocabulary(['red car']), trained)
    assert many.negatives == ('shadow',)
    assert many.background[:2] == ('a wall.', 'a photo of a dog.') and len(many.background) == 6
    for given in (Vocabulary(['owl'], negatives=[]), Vocabulary(['owl'], negatives=['hat'])):
        assert with_competition(given, trained) == given
