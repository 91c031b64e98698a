"""Whether COCO's compressed run lengths describe a mask of their image, for many masks at once.

The official decoder trusts the counts, and writes past the mask where they are wrong; so nothing is decoded here.

Axis letters: N masks, C characters of all their counts, V numbers of all their counts.
"""

import numpy as np

#: Characters of one number: five bits each, so 35 bits, more than any image has pixels.
_MAX_CHARACTERS = 7


def measure_run_lengths(text: bytes | bytearray | memoryview, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of pixels, and of those in the mask, that counts give.

    A number's characters are 48 plus five bits, the lowest first, and 32 where another one follows; the last one's
    highest bit is the sign. From the fourth on, numbers are differences to the one two before (``maskApi.c`` of
    https://github.com/cocodataset/cocoapi, ``rleFrString``). The runs begin outside of the mask and take turns.

    Args:
        text: the masks' counts as ASCII, one after another.
        lengths: (N,) int64, how many characters of it each mask has.

    Returns:
        (N,) int64 pixels of the whole image, -1 where the text is no run lengths, 0 where there is none; (N,) int64
        pixels in the mask.
    """
    pixels, inside = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    digits = np.frombuffer(text, dtype=np.uint8) - np.uint8(48)  # (C,), from 208 on below zero
    if not len(digits):
        return pixels, inside
    filled = np.flatnonzero(lengths)
    lasts = np.cumsum(lengths)[filled] - 1  # of a mask's characters
    begins = lasts + 1 - lengths[filled]
    wrong = np.logical_or.reduceat(digits > 63, begins) | (digits[lasts] & 32 > 0)  # the text is over in a number
    is_end = digits & 32 == 0
    is_end[lasts] = True
    numbers, num_digits = _numbers(digits, np.flatnonzero(is_end))
    firsts = np.searchsorted(np.flatnonzero(is_end), begins)  # of a mask's numbers
    wrong |= np.maximum.reduceat(num_digits, firsts) > _MAX_CHARACTERS
    runs, odd = _undo_differences(numbers, firsts)
    wrong |= np.minimum.reduceat(runs, firsts) < 0
    pixels[filled] = np.where(wrong, -1, np.add.reduceat(runs, firsts))
    inside[filled] = np.add.reduceat(np.where(odd, runs, 0), firsts)
    return pixels, inside


def _numbers(digits: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers (V,) int64 whose last characters are at ``ends``, and how many characters each has."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    num_digits = ends - starts + 1
    numbers = (digits[starts] & 31).astype(np.int64)
    for place in range(1, _MAX_CHARACTERS):
        longer = np.flatnonzero(num_digits > place)
        if not len(longer):
            break
        numbers[longer] += (digits[starts[longer] + place] & 31).astype(np.int64) << (5 * place)
    negative = digits[ends] & 16 > 0
    return numbers - np.where(negative, 1 << (5 * np.minimum(num_digits, _MAX_CHARACTERS)), 0), num_digits


def _undo_differences(numbers: np.ndarray, firsts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the runs (V,) of masks that begin at ``firsts``, and whether each is one inside of its mask (V,) bool."""
    sums = np.empty_like(numbers)  # of every second number, over all masks
    sums[0::2], sums[1::2] = np.cumsum(numbers[0::2]), np.cumsum(numbers[1::2])
    lengths = np.diff(firsts, append=len(numbers))
    odd = (np.arange(len(numbers)) - np.repeat(firsts, lengths)) % 2 == 1
    before_odd = np.where(firsts > 0, sums[firsts - 1], 0)
    runs = sums - np.where(odd, np.repeat(before_odd, lengths), np.repeat(sums[firsts], lengths))
    runs[firsts] = numbers[firsts]
    return runs, odd
