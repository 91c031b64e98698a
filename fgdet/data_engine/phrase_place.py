"""Which of several things of its noun a phrase means: by number, place in the picture, and size."""

from collections.abc import Sequence
from typing import NamedTuple

from fgdet.data_engine.image_record import Phrase
from fgdet.data_engine.picture_places import find_place, is_clearly_false
from fgdet.data_engine.region_geometry import Box, area_of, union_box

Place = tuple[str, str]

_COUNTS = {
    word: number
    for number, words in enumerate(
        ['one single', 'two pair couple both', 'three trio', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'], 1
    )
    for word in words.split()
}
# Words of a place before a noun: `the left dog`.
_PLACES: dict[str, Place] = {
    **dict.fromkeys(('left', 'left-hand', 'leftmost', 'far-left'), ('left', '')),
    **dict.fromkeys(('right', 'right-hand', 'rightmost', 'far-right'), ('right', '')),
    **dict.fromkeys(('middle', 'center', 'centre', 'central'), ('middle', '')),
    **dict.fromkeys(('top', 'upper', 'topmost', 'uppermost'), ('', 'top')),
    **dict.fromkeys(('bottom', 'lower', 'bottommost', 'lowest'), ('', 'bottom')),
}
_LARGE = frozenset(['large', 'larger', 'largest', 'big', 'bigger', 'biggest', 'huge', 'giant', 'enormous', 'massive'])
_SMALL = frozenset(['small', 'smaller', 'smallest', 'little', 'tiny', 'miniature'])
#: A thing is `the large one` where it has so many times the area of the next.
LARGER = 2.0
# Centres within a third are there for everybody.
_THIRDS = {
    'left': (0.0, 1 / 3),
    'top': (0.0, 1 / 3),
    'middle': (1 / 3, 2 / 3),
    'right': (2 / 3, 1.0),
    'bottom': (2 / 3, 1.0),
}


class NotChosen(Exception):
    """A phrase gets no box; the word says why."""


class Candidate(NamedTuple):
    """A thing that an annotation tells of."""

    name: str
    box: Box
    score: float = 1.0
    visible: float = 1.0  # share that lies in the image
    is_crowd: bool = False  # a box around many that were not told apart


def choose(phrase: Phrase, candidates: Sequence[Candidate], size: tuple[int, int]) -> list[int]:
    """Numbers of the things that a phrase means, of those that its noun fits.

    One thing: if the phrase names a place (``on the left``, ``the upper``), the only thing must not be clearly
    elsewhere, and of several those stay whose centre is in that third of the picture; if more than one is left,
    ``large`` and ``small`` mean one that has twice, or half, the area of every other. Many things: all, in the number
    that the phrase says; a group also where they are one box.

    Args:
        phrase: with its number and attributes.
        candidates: what its noun fits.
        size: width and height of the picture in pixels.

    Raises:
        NotChosen: ``unmatched``: there is no such thing; ``ambiguous``: the phrase may mean several; ``count``: there
            are more or fewer than it says; ``place``: all are clearly elsewhere.
    """
    if not candidates:
        raise NotChosen('unmatched')
    places = [place for place in (find_place(phrase.text),) if place]
    place: Place | None = places[0].place if places else _place_of_attributes(phrase)
    if phrase.number != 'one':
        return _choose_many(phrase, candidates, place, size)
    left = [i for i, each in enumerate(candidates) if not each.is_crowd]
    if place:
        left = [i for i in left if not is_clearly_false(place, candidates[i].box, size)]
        if not left:
            raise NotChosen('place')
        if len(candidates) > 1:
            left = [i for i in left if _is_within(place, candidates[i].box, size)]
    if len(left) > 1:
        left = _by_size(phrase, left, candidates)
    # A thing inside a crowd may be meant as well.
    if len(left) != 1 or any(each.is_crowd for each in candidates):
        raise NotChosen('ambiguous')
    return left


def _choose_many(
    phrase: Phrase, candidates: Sequence[Candidate], place: Place | None, size: tuple[int, int]
) -> list[int]:
    is_group = phrase.number == 'group' or any(each.is_crowd for each in candidates)
    words = [each['word'].lower() for each in phrase.attributes if each.get('kind') == 'count']
    said = next((_COUNTS.get(word) or (int(word) if word.isdigit() else None) for word in words), None)
    if len(candidates) != said if said and not is_group else len(candidates) < (1 if is_group else 2):
        raise NotChosen('count')
    if place and is_clearly_false(place, union_box([each.box for each in candidates]), size):
        raise NotChosen('place')
    return list(range(len(candidates)))


def _place_of_attributes(phrase: Phrase) -> Place | None:
    found = [_PLACES[each['word'].lower()] for each in phrase.attributes if each['word'].lower() in _PLACES]
    columns, rows = {column for column, _ in found if column}, {row for _, row in found if row}
    return (min(columns, default=''), min(rows, default='')) if found else None


def _is_within(place: Place, box: Box, size: tuple[int, int]) -> bool:
    across, down = (box[0] + box[2]) / 2 / size[0], (box[1] + box[3]) / 2 / size[1]
    return all(
        not word or _THIRDS[word][0] <= centre <= _THIRDS[word][1]
        for word, centre in zip(place, (across, down), strict=True)
    )


def _by_size(phrase: Phrase, left: list[int], candidates: Sequence[Candidate]) -> list[int]:
    """The one that is clearly larger, or smaller, than the others, where the phrase says so."""
    words = {each['word'].lower() for each in phrase.attributes}
    by_area = sorted(left, key=lambda i: area_of(candidates[i].box))
    areas = [area_of(candidates[i].box) for i in by_area]
    if words & _LARGE and areas[-1] >= LARGER * areas[-2]:
        return by_area[-1:]
    return by_area[:1] if words & _SMALL and areas[1] >= LARGER * areas[0] else left
