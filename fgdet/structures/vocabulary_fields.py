"""What may stand in a vocabulary's fields: strings, scores and vectors, checked one by one; no torch."""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fgdet.utils.checks import UserError


def strings(values: Iterable[str], field: str) -> tuple[str, ...]:
    """The strings without surrounding white space and in unicode's composed form (NFC).

    Raises:
        UserError: one is empty or no string, or ``values`` is itself a string, which would iterate its letters.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UserError(f'vocabulary {field}: expected a list of strings, got {values!r}')
    stripped = []
    for position, value in enumerate(values):
        if not isinstance(value, str):
            raise UserError(f'vocabulary {field}[{position}]: expected a string, got {value!r}')
        if not value.strip():
            raise UserError(f'vocabulary {field}[{position}]: {value!r} is empty; remove it or name a class')
        stripped.append(composed(value))
    return tuple(stripped)


def composed(text: str) -> str:
    """The text without surrounding white space, in NFC: equal to what looks the same in a decomposed form."""
    return unicodedata.normalize('NFC', text.strip())


def unique_strings(values: Iterable[str], field: str) -> tuple[str, ...]:
    """As :func:`strings`.

    Raises:
        UserError: as there, or one repeats another.
    """
    found = strings(values, field)
    first_seen: dict[str, int] = {}
    for position, string in enumerate(found):
        if string in first_seen:
            raise UserError(f'vocabulary {field}[{position}]: {string!r} repeats {field}[{first_seen[string]}]')
        first_seen[string] = position
    return found


def threshold(value: Any, name: str) -> float:
    """A score in 0..1.

    Raises:
        UserError: it is no number or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UserError(f'vocabulary thresholds of {name!r}: expected a number in 0..1, got {value!r}')
    return float(value)


def unit_vector(values: Any, name: str) -> np.ndarray:
    """A vector scaled to length 1, (d,) float32, that cannot be written to.

    Raises:
        UserError: it is no vector of finite numbers or has length 0.
    """
    try:
        vector = np.array(values, dtype=np.float32)
    except (TypeError, ValueError):
        vector = np.zeros(0, dtype=np.float32)
    length = float(np.linalg.norm(vector)) if vector.ndim == 1 else 0.0
    if not 0 < length < math.inf:
        raise UserError(f'vocabulary image_prompts of {name!r}: expected a vector of finite numbers that are not all 0')
    vector = vector / length if abs(length - 1) > 1e-6 else vector
    vector.setflags(write=False)
    return vector


def listed(names: Sequence[str]) -> str:
    """Up to five names quoted, and how many more there are, with the verb that follows."""
    shown = ', '.join(repr(name) for name in names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
    return f'{shown} {"is" if len(names) == 1 else "are"}'
