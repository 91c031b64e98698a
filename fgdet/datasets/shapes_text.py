"""Words of the shapes world: names of compositions, their base and novel split, captions and hard negatives.

A composition is a (colour, pattern, shape) triple; its name is ``'<colour> <pattern> <shape>'``, so that every phrase
has one form and any one attribute can be exchanged.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Composition = tuple[str, str, str]

_NUMBER_WORDS = ('no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten')
_OPENINGS = (
    'The picture shows {count} {noun} on a {background}.',
    'There {verb} {count} {noun} in front of a {background}.',
    'This image contains {count} {noun} over a {background}.',
)
_CLUTTER = 'A few grey marks and specks are scattered over the background, and nothing else stands out.'


class Mention(NamedTuple):
    """What a caption says of one object: name, ``'large'`` or ``'small'``, and box centre in 0..1 of the image."""

    name: str
    size_word: str
    centre_xy: tuple[float, float]

    @property
    def phrase(self) -> str:
        """Size and name, without article: ``'large red striped star'``."""
        return f'{self.size_word} {self.name}'

    @property
    def position(self) -> str:
        """Where it is, by thirds of the image: ``'on the left'``, ``'at the bottom right'``, ``'in the centre'``."""
        column, row = (min(int(value * 3), 2) for value in self.centre_xy)
        words = [word for word in (('top', '', 'bottom')[row], ('left', '', 'right')[column]) if word]
        if not words:
            return 'in the centre'
        return f'on the {words[0]}' if words[0] in ('left', 'right') else f'at the {" ".join(words)}'

    @property
    def long_expr(self) -> str:
        """The region's long expression: ``'a large red striped star on the left'``."""
        return f'{with_article(self.phrase)} {self.position}'


def composition_name(composition: Composition) -> str:
    """``('red', 'striped', 'star')`` -> ``'red striped star'``."""
    return ' '.join(composition)


def all_compositions(shapes: Sequence[str], colours: Sequence[str], patterns: Sequence[str]) -> list[Composition]:
    """Every (colour, pattern, shape), the shape changing fastest: the order of the class names and category ids."""
    return list(itertools.product(colours, patterns, shapes))


def composition_split(
    shapes: Sequence[str], colours: Sequence[str], patterns: Sequence[str], novel_fraction: float = 0.25
) -> tuple[list[str], list[str]]:
    """Split the compositions into base (boxes in detector training) and novel (never a box), as a Latin square does.

    With t the sum of the three indices, a composition is novel where ``floor((t + 1) f) > floor(t f)``: for f = 1/4
    where t mod 4 is 3. Along every line of the colour-pattern-shape grid t counts up by one, so that every ``1/f``-th
    is held out. Of 8 colours, 3 patterns and 6 shapes these are 36 of 144: 6 of the 24 of each shape, 12 of the 48 of
    each pattern, 4 or 5 of the 18 of each colour, and no pair of attribute values is missing from base.

    Args:
        shapes, colours, patterns: the values in their fixed order, which the split depends on.
        novel_fraction: share of novel compositions, 0 up to but not including 1.

    Returns:
        base names and novel names, each in the order of :func:`all_compositions`.

    Raises:
        ValueError: ``novel_fraction`` is out of range.
    """
    if not 0 <= novel_fraction < 1:
        raise ValueError(f'novel_fraction: expected a number in [0, 1), got {novel_fraction!r}')
    base: list[str] = []
    novel: list[str] = []
    for composition in all_compositions(shapes, colours, patterns):
        colour, pattern, shape = composition
        total = colours.index(colour) + patterns.index(pattern) + shapes.index(shape)
        before, after = (int(t * novel_fraction + 1e-9) for t in (total, total + 1))
        (novel if after > before else base).append(composition_name(composition))
    return base, novel


def one_attribute_apart(
    composition: Composition, shapes: Sequence[str], colours: Sequence[str], patterns: Sequence[str]
) -> list[Composition]:
    """All compositions that differ from this one in exactly one of colour, pattern and shape."""
    colour, pattern, shape = composition
    return [
        *((other, pattern, shape) for other in colours if other != colour),
        *((colour, other, shape) for other in patterns if other != pattern),
        *((colour, pattern, other) for other in shapes if other != shape),
    ]


def with_article(phrase: str) -> str:
    """``'orange solid star'`` -> ``'an orange solid star'``."""
    return f'{"an" if phrase[0] in "aeiou" else "a"} {phrase}'


def short_caption(mentions: Sequence[Mention]) -> str:
    """Every object by its name: ``'a red striped star, a pink solid ring and an orange dotted cross'``."""
    return _listed([with_article(mention.name) for mention in mentions])


def long_caption(mentions: Sequence[Mention], background: str, rng: np.random.Generator) -> str:
    """Three to eight sentences, 30 to 90 words for up to four objects.

    Args:
        mentions: at least one object.
        background: noun phrase without article, such as ``'dark cloudy background'``.
        rng: chooses the opening, the order of the objects and the pairs that are related.
    """
    order = [mentions[i] for i in rng.permutation(len(mentions))]
    num = len(order)
    count = _NUMBER_WORDS[num] if num < len(_NUMBER_WORDS) else str(num)
    opening = _OPENINGS[rng.integers(len(_OPENINGS))]
    sentences = [
        opening.format(
            count=count,
            noun='object' if num == 1 else 'objects',
            verb='is' if num == 1 else 'are',
            background=background,
        )
    ]
    sentences += [f'{_capitalised(with_article(mention.phrase))} is {mention.position}.' for mention in order]
    sentences += [_relation(first, second) for first, second in itertools.islice(itertools.pairwise(order), 2)]
    if num <= 3:
        sentences.append(_CLUTTER)
    return ' '.join(sentences)


def _relation(first: Mention, second: Mention) -> str:
    dx, dy = (a - b for a, b in zip(first.centre_xy, second.centre_xy, strict=True))
    if abs(dx) >= abs(dy):
        words = 'to the left of' if dx < 0 else 'to the right of'
    else:
        words = 'above' if dy < 0 else 'below'
    return f'The {first.phrase} is {words} the {second.phrase}.'


def _listed(phrases: list[str]) -> str:
    return ' and '.join(part for part in (', '.join(phrases[:-1]), phrases[-1]) if part)


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
