"""Where in the picture a thing is, in words, and whether its box agrees with them."""

import re
from typing import NamedTuple

#: What is written, and the column and row that it means.
PLACES: dict[str, tuple[str, str]] = {
    'on the left': ('left', ''),
    'on the right': ('right', ''),
    'in the middle': ('middle', ''),
    'at the top': ('', 'top'),
    'at the bottom': ('', 'bottom'),
    'in the top left corner': ('left', 'top'),
    'in the top right corner': ('right', 'top'),
    'in the bottom left corner': ('left', 'bottom'),
    'in the bottom right corner': ('right', 'bottom'),
}
_PATTERN = re.compile(
    r'\b(?:on|in|at|to) the (?:far |very )?(?:(?P<row>top|upper|bottom|lower)[ -])?'
    r'(?P<name>left|right|middle|center|centre|top|bottom)(?:[ -]hand)?(?: side| corner| part| half| edge)?'
    r'(?P<frame> (?:of|in) the (?:image|picture|photo|photograph|frame|scene))?\b(?! of| to|[ -]\w*(?:most|hand))',
    re.IGNORECASE,
)
_ROWS = {'top': 'top', 'upper': 'top', 'bottom': 'bottom', 'lower': 'bottom'}
# From the centre of a box as a share of the picture: a place is false only where nobody would call it so.
_CLEARLY_FALSE = {
    '': lambda centre: False,
    'left': lambda centre: centre >= 0.6,
    'right': lambda centre: centre <= 0.4,
    'middle': lambda centre: abs(centre - 0.5) >= 0.25,
    'top': lambda centre: centre >= 0.6,
    'bottom': lambda centre: centre <= 0.4,
}


class FoundPlace(NamedTuple):
    """A place in a text.

    Args:
        start: its first character.
        end: the character after its last.
        place: its column (``left, middle, right`` or empty) and row (``top, bottom`` or empty).
        frame: such as `` of the picture``; empty without.
    """

    start: int
    end: int
    place: tuple[str, str]
    frame: str


def find_place(text: str) -> FoundPlace | None:
    """Return the last place in the picture that a text names; ``on the left of the couch`` is none."""
    found = None
    for match in _PATTERN.finditer(text):
        row, name = _ROWS.get((match['row'] or '').lower(), ''), match['name'].lower()
        column = '' if name in _ROWS else 'middle' if name.startswith(('mid', 'cent')) else name
        found = FoundPlace(match.start(), match.end(), (column, row or _ROWS.get(name, '')), match['frame'] or '')
    return found


def is_clearly_false(
    place: tuple[str, str], box: tuple[float, ...], size: tuple[int, int], of_many: bool = False
) -> bool:
    """Tell whether nobody would say that a box is at a place.

    Args:
        place: column and row.
        box: x1, y1, x2, y2 in pixels.
        of_many: the box is around several things: its nearest edge decides, and not its centre.
        size: width and height of the picture in pixels; unknown where either is 0, and nothing is clear then.
    """
    width, height = size
    if not width or not height:
        return False
    spans = (box[0] / width, box[2] / width), (box[1] / height, box[3] / height)
    return any(_is_far(name, *span, of_many) for name, span in zip(place, spans, strict=True))


def _is_far(name: str, first: float, last: float, of_many: bool) -> bool:
    """Whether a span, in parts of the picture, is far from a column or row; many are far if each of them is."""
    if not of_many:
        return _CLEARLY_FALSE[name]((first + last) / 2)
    return _CLEARLY_FALSE[name](first) and _CLEARLY_FALSE[name](last) and (first > 0.5 or last < 0.5)


def contradict(place: tuple[str, str], other: tuple[str, str]) -> bool:
    """Tell whether two places name different columns or different rows."""
    return any(mine and theirs and mine != theirs for mine, theirs in zip(place, other, strict=True))
