"""Names, the split by composition, and captions: against hand-worked sentences and plain counting."""

import itertools
from collections import Counter

import numpy as np
import pytest

from fgdet.datasets import shapes_text as text
from fgdet.datasets.shapes_render import COLOURS, PATTERNS, SHAPES


def _mention(name: str = 'red striped star', size: str = 'large', x: float = 0.5, y: float = 0.5) -> text.Mention:
    return text.Mention(name, size, (x, y))


def test_composition_split__counts():
    base, novel = text.composition_split(SHAPES, COLOURS, PATTERNS)
    assert (len(base), len(novel)) == (108, 36)
    everything = {f'{c} {p} {s}' for c in COLOURS for p in PATTERNS for s in SHAPES}
    assert set(base) | set(novel) == everything
    assert novel[:3] == ['red solid star', 'red striped triangle', 'red dotted square']  # index sums of 3


def test_composition_split__balanced_over_values():
    _, novel = text.composition_split(SHAPES, COLOURS, PATTERNS)
    colours, patterns, shapes = (Counter(column) for column in zip(*map(str.split, novel), strict=True))
    assert set(shapes.values()) == {6} and len(shapes) == 6
    assert set(patterns.values()) == {12} and len(patterns) == 3
    assert set(colours.values()) == {4, 5} and len(colours) == 8


def test_composition_split__every_pair_of_values_is_in_base():
    base, _ = text.composition_split(SHAPES, COLOURS, PATTERNS)
    triples = [tuple(name.split()) for name in base]
    for first, second in itertools.combinations(range(3), 2):
        values = (COLOURS, PATTERNS, SHAPES)
        seen = {(triple[first], triple[second]) for triple in triples}
        assert seen == set(itertools.product(values[first], values[second]))


@pytest.mark.parametrize('fraction', [0, 0.1, 0.2, 0.5])
def test_composition_split__fraction(fraction):
    _, novel = text.composition_split(SHAPES, COLOURS, PATTERNS, fraction)
    assert len(novel) / 144 == pytest.approx(fraction, abs=0.05)


@pytest.mark.parametrize('fraction', [-0.1, 1, 2])
def test_composition_split__bad_fraction(fraction):
    with pytest.raises(ValueError, match='novel_fraction'):
        text.composition_split(SHAPES, COLOURS, PATTERNS, fraction)


def test_one_attribute_apart__naive_filter():
    composition = ('pink', 'dotted', 'ring')
    expected = {
        other
        for other in text.all_compositions(SHAPES, COLOURS, PATTERNS)
        if sum(a != b for a, b in zip(composition, other, strict=True)) == 1
    }
    near = text.one_attribute_apart(composition, SHAPES, COLOURS, PATTERNS)
    assert set(near) == expected and len(near) == 7 + 2 + 5


@pytest.mark.parametrize(
    ('x', 'y', 'words'),
    [
        (0.1, 0.5, 'on the left'),
        (0.9, 0.5, 'on the right'),
        (0.5, 0.1, 'at the top'),
        (0.5, 1.0, 'at the bottom'),
        (0.5, 0.5, 'in the centre'),
        (0.2, 0.2, 'at the top left'),
        (0.8, 0.7, 'at the bottom right'),
    ],
)
def test_position__by_thirds(x, y, words):
    assert _mention(x=x, y=y).position == words
    assert _mention(x=x, y=y).long_expr == f'a large red striped star {words}'


def test_short_caption__lists():
    first, second, third = _mention(), _mention('orange solid ring'), _mention('blue dotted cross')
    assert text.short_caption([first]) == 'a red striped star'
    assert text.short_caption([first, second]) == 'a red striped star and an orange solid ring'
    expected = 'a red striped star, an orange solid ring and a blue dotted cross'
    assert text.short_caption([first, second, third]) == expected


def test_long_caption__one_object():
    caption = text.long_caption([_mention(x=0.1)], 'pale cloudy background', np.random.default_rng(0))
    assert 'one object' in caption and 'pale cloudy background' in caption
    assert 'A large red striped star is on the left.' in caption


@pytest.mark.parametrize(
    ('second_xy', 'words', 'converse'),
    [
        ((0.9, 0.4), 'to the left of', 'to the right of'),
        ((0.1, 0.6), 'to the right of', 'to the left of'),
        ((0.6, 0.9), 'above', 'below'),
        ((0.4, 0.1), 'below', 'above'),
    ],
)
def test_long_caption__relation(second_xy, words, converse):
    first, second = _mention(), text.Mention('blue solid ring', 'small', second_xy)
    seen = set()
    for seed in range(8):  # the order of the two is drawn
        caption = text.long_caption([first, second], 'dark graded background', np.random.default_rng(seed))
        forth = f'The large red striped star is {words} the small blue solid ring.' in caption
        back = f'The small blue solid ring is {converse} the large red striped star.' in caption
        assert forth != back
        seen.add(forth)
    assert seen == {True, False}
