"""Names become phrases that a reader would write."""

import pytest

from fgdet.text.english import article, counted, listed, plural


@pytest.mark.parametrize(
    'name, one, many',
    [
        ('dog', 'a dog', 'dogs'),
        ('apple', 'an apple', 'apples'),
        ('umbrella', 'an umbrella', 'umbrellas'),
        ('unicycle', 'a unicycle', 'unicycles'),
        ('person', 'a person', 'people'),
        ('wine glass', 'a wine glass', 'wine glasses'),
        ('bus', 'a bus', 'buses'),
        ('couch', 'a couch', 'couches'),
        ('knife', 'a knife', 'knives'),
        ('teddy bear', 'a teddy bear', 'teddy bears'),
        ('berry', 'a berry', 'berries'),
        ('toy', 'a toy', 'toys'),
        ('sheep', 'a sheep', 'sheep'),
        ('scissors', 'a pair of scissors', 'scissors'),
        ('broccoli', 'broccoli', 'broccoli'),
    ],
)
def test_article_and_plural__of_names(name, one, many):
    assert (article(name), plural(name)) == (one, many)


def test_counted_and_listed__read_well():
    assert [counted('dog', n, most=5) for n in (1, 2, 5, 6)] == ['a dog', 'two dogs', 'five dogs', 'many dogs']
    assert counted('skis', 3) == 'three pairs of skis' and counted('broccoli', 3) == 'broccoli'
    assert [listed(list('abc')[:n]) for n in (1, 2, 3)] == ['a', 'a and b', 'a, b and c']
