"""Captions made of given boxes and their names: poor, but true, and at no cost.

What is said follows from the boxes: how many there are, where, what is left of what, and what fills the picture. The
size of a thing does not follow from its box, so that it is never said.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from fgdet.text.english import article, counted, listed

#: Things that get a sentence of their own, the largest.
_MOST_DETAILS = 10
#: Names in the overview, those with the largest things.
_MOST_NAMES = 6
#: From here on the number is left open: annotators stop counting crowds.
_MOST_COUNTED = 5
#: Part of the picture that a thing covers of which this is said.
_FILLS = 0.35
#: Longest part of the picture's width or height that a thing can have and still be on one side of it.
_ONE_SIDE = 0.6


class Thing(NamedTuple):
    """A box with a name.

    Args:
        name: of its category, such as ``fire hydrant``.
        box: x1, y1, x2, y2 in parts of the picture, 0..1.
        colour: its name, or None where that is not clear.
        is_group: a box of many things of this name.
    """

    name: str
    box: tuple[float, float, float, float]
    colour: str | None = None
    is_group: bool = False

    @property
    def area(self) -> float:
        return max(0.0, self.box[2] - self.box[0]) * max(0.0, self.box[3] - self.box[1])

    def noun_phrase(self) -> str:
        """Return ``red bus``."""
        is_said = self.colour and self.colour not in self.name.split()
        return f'{self.colour} {self.name}' if is_said else self.name


class AnnotationCaption(NamedTuple):
    """What is said of a picture.

    Args:
        caption: several sentences.
        short_caption: one phrase.
        spans: for each thing the first character and the end of its phrase in ``caption``; None where it has none.
    """

    caption: str
    short_caption: str
    spans: list[tuple[int, int] | None]


def describe(things: Sequence[Thing]) -> AnnotationCaption:
    """Return the caption of at least one thing; the same things in the same order give the same words."""
    order = sorted(range(len(things)), key=lambda index: -things[index].area)
    overview = listed(_overview([things[index] for index in order]))
    caption = f'A photograph of {overview}.'
    spans: list[tuple[int, int] | None] = [None] * len(things)
    said: set[str] = set()
    for index in order[:_MOST_DETAILS]:
        thing = things[index]
        phrase = _phrase(thing, things)
        if phrase in said:  # the second of two dogs on the left: the same words would be of both
            continue
        said.add(phrase)
        caption += ' There are ' if thing.is_group else ' There is '
        spans[index] = (len(caption), len(caption) + len(phrase))
        caption += f'{phrase}.'
    return AnnotationCaption(caption, overview, spans)


def _overview(things: Sequence[Thing]) -> list[str]:
    """``two dogs``, ``a red bus``: in the order of the things, the most important names alone."""
    counts = Counter(thing.name for thing in things)
    groups = {thing.name for thing in things if thing.is_group}
    parts = []
    for name in list(counts)[:_MOST_NAMES]:
        if counts[name] == 1 and name not in groups:
            parts.append(article(next(thing for thing in things if thing.name == name).noun_phrase()))
        else:
            parts.append(counted(name, counts[name] if name not in groups else 10, _MOST_COUNTED))
    return parts


def _phrase(thing: Thing, things: Sequence[Thing]) -> str:
    """``a red bus on the left, to the left of a dog``."""
    head = counted(thing.name, 10) if thing.is_group else article(thing.noun_phrase())
    if thing.area >= _FILLS:
        return f'{head} that fills much of the picture'
    place = _place(thing.box)
    relation = _relation(thing, things)
    if any(word in place for word in ('left', 'right') if word in relation):  # no news
        relation = ''
    return ' '.join(part for part in (head, place, relation) if part)


def _place(box: tuple[float, float, float, float]) -> str:
    """``at the top left`` and the like; empty where the box is too long to be on a side."""
    x1, y1, x2, y2 = box
    across = _third((x1 + x2) / 2, ('left', '', 'right')) if x2 - x1 <= _ONE_SIDE else ''
    down = _third((y1 + y2) / 2, ('top', '', 'bottom')) if y2 - y1 <= _ONE_SIDE else ''
    if across and down:
        return f'at the {down} {across}'
    if across or down:
        return f'on the {across}' if across else f'at the {down}'
    return 'in the middle' if max(x2 - x1, y2 - y1) <= _ONE_SIDE else ''


def _third(value: float, words: tuple[str, str, str]) -> str:
    return words[0] if value < 1 / 3 else words[2] if value > 2 / 3 else words[1]


def _relation(thing: Thing, things: Sequence[Thing]) -> str:
    """Where the thing is from the largest thing that is the only one of its name; empty where nothing is clear."""
    counts = Counter(other.name for other in things)
    others = [o for o in things if counts[o.name] == 1 and o.name != thing.name and not o.is_group]
    for other in sorted(others, key=lambda other: -other.area):
        (x1, y1, x2, y2), (left, top, right, bottom) = thing.box, other.box
        if min(y2, bottom) > max(y1, top):  # beside each other
            if x2 <= left:
                return f'to the left of {article(other.noun_phrase())}'
            if x1 >= right:
                return f'to the right of {article(other.noun_phrase())}'
        if min(x2, right) > max(x1, left):
            if y2 <= top:
                return f'above {article(other.noun_phrase())}'
            if y1 >= bottom:
                return f'below {article(other.noun_phrase())}'
    return ''


def things_of(annotations: Sequence[dict[str, Any]], width: int, height: int) -> list[Thing]:
    """Return given boxes as things, in their order.

    Args:
        annotations: ``{'bbox': [x, y, width, height], 'name': str}`` in pixels; ``iscrowd`` marks a box of many.
        width: of the picture, in pixels.
        height: the same.
    """
    return [
        Thing(
            each['name'].replace('_', ' ').strip(),
            (
                max(0.0, each['bbox'][0] / width),
                max(0.0, each['bbox'][1] / height),
                min(1.0, (each['bbox'][0] + each['bbox'][2]) / width),
                min(1.0, (each['bbox'][1] + each['bbox'][3]) / height),
            ),
            None,
            bool(each.get('iscrowd')),
        )
        for each in annotations
    ]
