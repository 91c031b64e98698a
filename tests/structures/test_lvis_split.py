from collections import Counter

import pytest

from fgdet.structures.lvis_split import (
    LVIS_V1_BASE,
    LVIS_V1_FREQUENCY,
    LVIS_V1_IMAGE_COUNTS,
    LVIS_V1_NAMES,
    LVIS_V1_RARE,
    LVIS_V1_SYNONYMS,
    lvis_prompt_name,
)
from fgdet.structures.vocabulary import lvis_v1_vocabulary


def test_lvis_v1__counts_of_the_paper() -> None:
    assert len(LVIS_V1_NAMES) == len(set(LVIS_V1_NAMES)) == 1203
    assert Counter(LVIS_V1_FREQUENCY.values()) == {'r': 337, 'c': 461, 'f': 405}
    assert (len(LVIS_V1_BASE), len(LVIS_V1_RARE)) == (866, 337)


def test_lvis_v1__known_categories_by_their_ids() -> None:
    known = {1: 'aerosol can', 12: 'apple', 793: 'person', 805: 'pin (non jewelry)', 1203: 'zucchini'}
    assert {number: LVIS_V1_NAMES[number - 1] for number in known} == known
    assert (LVIS_V1_FREQUENCY['person'], LVIS_V1_FREQUENCY['applesauce'], LVIS_V1_FREQUENCY['bandage']) == (*'frc',)
    assert LVIS_V1_IMAGE_COUNTS['baboon'] == 1 and max(LVIS_V1_IMAGE_COUNTS.values()) == 1977
    assert LVIS_V1_SYNONYMS['ax'] == ('axe',)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('aerosol_can', 'aerosol can'),
        ('fish_(food)', 'fish (food)'),
        ('flip-flop_(sandal)', 'flip-flop (sandal)'),
        ('speaker_(stero_equipment)', 'speaker (stereo equipment)'),
        ('monitor_(computer_equipment) computer_monitor', 'monitor (computer equipment) computer monitor'),
    ],
)
def test_lvis_prompt_name(name: str, expected: str) -> None:
    assert lvis_prompt_name(name) == expected == lvis_prompt_name(expected)
    assert expected in LVIS_V1_NAMES


def test_lvis_v1_vocabulary__holds_rare_classes_out() -> None:
    vocabulary = lvis_v1_vocabulary()
    assert vocabulary.names == LVIS_V1_NAMES and vocabulary.novel == LVIS_V1_RARE and not vocabulary.synonyms
    assert vocabulary.base_mask.sum() == 866 and not (vocabulary.base_mask & vocabulary.novel_mask).any()
    assert lvis_v1_vocabulary(['a {}.'], synonyms=True).prompts(0) == ['a aerosol can.', 'a spray can.']
