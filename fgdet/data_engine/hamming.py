"""All pairs of 64-bit codes that differ in few bits, without comparing each with each.

Multi-index search (Norouzi, Punjani, Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing",
https://arxiv.org/abs/1307.2982, section 3): the 64 bits are cut into m bands. Codes that differ in at most d bits
differ in at most d // m bits in one of them, so only codes that nearly agree in a band are compared. With bands of
about log2 N bits a code meets few others by chance.

Axes: N codes, M pairs.
"""

import math
from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np

_BITS = 64
# Codes whose candidates are looked at together; pairs that are compared at once.
_WINDOW, _AT_ONCE = 1 << 16, 1 << 20
# A look-up takes as long as so many comparisons.
_LOOKUP = 10
_ONES = np.array([bin(byte).count('1') for byte in range(256)], dtype=np.uint8)


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Bits in which codes differ, pair by pair: two (M,) uint64 -> (M,)."""
    different = np.ascontiguousarray(left ^ right)
    if hasattr(np, 'bitwise_count'):  # from numpy 2
        return np.bitwise_count(different)
    return _ONES[different.view(np.uint8).reshape(-1, 8)].sum(axis=1)


def close_pairs(codes: np.ndarray, distance: int, other: np.ndarray | None = None) -> np.ndarray:
    """Pairs of codes that differ in at most ``distance`` bits.

    Beside the codes it holds about 30 bytes for each while it sorts, and the pairs. Many codes that are all close to
    each other make many pairs; equal codes should be given once.

    Args:
        codes: (N,) uint64.
        distance: bits, 0 to 63.
        other: (N,) uint64 codes to find in the place of ``codes``, such as those of mirrored images; None: the same.

    Returns:
        (M, 2) int64, sorted: i and j with i > j, where ``other[i]`` is close to ``codes[j]``.

    Raises:
        ValueError: the distance is out of range.
    """
    if not 0 <= distance < _BITS:
        raise ValueError(f'distance: expected 0 to {_BITS - 1} bits, got {distance}')
    queries = codes if other is None else other
    parts: list[np.ndarray] = [np.zeros((0, 2), np.int64)]
    num_bands = _num_bands(len(codes), distance)
    edges = np.linspace(0, _BITS, num_bands + 1).astype(int)
    for low, high in pairwise(edges.tolist()):
        for i, j in _candidates(codes, queries, low, high - low, distance // num_bands):
            near = distances(queries[i], codes[j]) <= distance
            parts.append(np.stack([i[near], j[near]], axis=1))
        parts = [np.unique(np.concatenate(parts), axis=0)]
    return parts[0]


def _num_bands(num_codes: int, distance: int) -> int:
    """The number with the least work: of looking up each band's neighbours, and of comparing what is met by chance."""

    def work(num_bands: int) -> float:
        width = _BITS // num_bands
        lookups = num_bands * sum(math.comb(width, r) for r in range(distance // num_bands + 1))
        return lookups * (_LOOKUP + num_codes / 2**width)

    return min(range(1, distance + 2), key=work)


def _candidates(
    codes: np.ndarray, queries: np.ndarray, low: int, width: int, radius: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs i > j whose band of ``width`` bits from ``low`` differs in at most ``radius`` bits, in parts."""
    mask = np.uint64((1 << width) - 1)

    def in_order(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        band = values >> np.uint64(low) & mask
        order = np.argsort(band, kind='stable').astype(np.int32)
        return band[order], order

    band, order = in_order(codes)
    wanted, query_order = (band, order) if queries is codes else in_order(queries)
    flips = [sum(1 << bit for bit in bits) for r in range(radius + 1) for bits in combinations(range(width), r)]
    for start in range(0, len(queries), _WINDOW):  # neighbours in a band are looked up one after another
        window = wanted[start : start + _WINDOW]
        for flip in map(np.uint64, flips):
            first = np.searchsorted(band, window ^ flip, side='left')
            last = np.searchsorted(band, window ^ flip, side='right')
            for row, place in _expanded(first, last):
                i, j = query_order[start + row], order[place]
                below = j < i
                yield i[below], j[below]


def _expanded(first: np.ndarray, last: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of a row and each place in ``first[row]:last[row]``, some millions at a time."""
    counts = last - first
    ends = np.cumsum(counts)
    row = 0
    while row < len(counts):
        done = ends[row - 1] if row else 0
        stop = max(row + 1, int(np.searchsorted(ends, done + _AT_ONCE, side='right')))
        some = counts[row:stop]
        rows = np.repeat(np.arange(row, stop), some)
        yield rows, np.arange(len(rows)) - np.repeat(np.cumsum(some) - some, some) + first[rows]
        row = stop
