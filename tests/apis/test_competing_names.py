"""Which trained names stand against the asked ones."""

import pytest

from fgdet.apis.competing_names import competing_names
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
    assert set(competing_names(Vocabulary(names), TRAINED)) == set(TRAINED.base) - left_out


def test_competing__synonyms_of_the_asked_stand_aside_too() -> None:
    asked = Vocabulary(['puppy'], synonyms={'puppy': ['dog']})
    assert 'dog' not in competing_names(asked, TRAINED)
    assert competing_names(TRAINED, TRAINED) == ()
