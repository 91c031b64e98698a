"""How many wrong answers a query likes at least as much as its best right one, exactly and in bounded memory.

Similarities are compared as in float64: float32 products decide where they are beyond the reach of rounding, and only
the doubtful ones are computed again. So the counts do not hang on the size of a tile, the number of threads or the BLAS
library. Similarities closer than :data:`TIE` are a tie, and a tie with a wrong answer counts against the match; so does
a similarity that is no finite number.

Axes: Q queries, C candidates, q x c one tile of them, P pairs of a query and a right candidate, D embedding.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Array = np.ndarray
#: Similarities that are closer are a tie: above the rounding of float64 sums of D terms, for vectors of length 1.
TIE = 1e-12
#: Queries x candidates compared at once, each below 2^16: 16 MB of similarities.
TILE = (1024, 4096)
#: Numbers in each of the two arrays of pairs that are multiplied at once: 16 MB.
_PAIR_NUMBERS = 1 << 21
#: From this share of doubtful similarities on a whole tile is computed again.
_MANY = 1 / 64


def count_wrong_ahead(queries: Array, candidates: Array, query_labels: Array, candidate_labels: Array) -> Array:
    """How many candidates of another label each query likes at least as much as its best one of its own label.

    Args:
        queries: (Q, D), L2-normalised; Q may be 0.
        candidates: (C, D), L2-normalised.
        query_labels: (Q,) int.
        candidate_labels: (C,) int; several candidates may share a label.

    Returns:
        (Q,) int64: 0 where the right answer comes first. C where no candidate has the query's label, or its best one's
        similarity is no finite number.
    """
    return _count(queries, candidates, query_labels, candidate_labels, both=False)[0]


def count_wrong_ahead_both_ways(
    first: Array,
    second: Array,
    first_labels: Array,
    second_labels: Array,
    report: Callable[[float], None] | None = None,
) -> tuple[Array, Array]:
    """:func:`count_wrong_ahead` of ``first`` among ``second`` and the other way round, from the same products.

    Args:
        first: (Q, D), L2-normalised.
        second: (C, D), L2-normalised.
        first_labels: (Q,) int.
        second_labels: (C,) int.
        report: called with the share that is done, 0..1, now and then.

    Returns:
        (Q,) and (C,) int64.
    """
    return _count(first, second, first_labels, second_labels, both=True, report=report)


def recall_at(wrong_ahead: Array, ks: Sequence[int]) -> list[float]:
    """Share of queries with a right answer among the k best, for each k; from :func:`count_wrong_ahead`, Q above 0."""
    return [float((wrong_ahead < k).mean()) for k in ks]


@np.errstate(invalid='ignore', over='ignore')  # what is no number is counted as such
def _count(
    queries: Array,
    candidates: Array,
    query_labels: Array,
    candidate_labels: Array,
    both: bool,
    report: Callable[[float], None] | None = None,
) -> tuple[Array, Array]:
    """Counts of the queries (Q,) and, for ``both``, of the candidates (C,)."""
    rows, columns = _Side(queries, len(candidates)), _Side(candidates, len(queries))
    for row, column in _right_pairs(query_labels, candidate_labels, queries.shape[1]):
        similarity = _similarity(queries[row], candidates[column])
        rows.add_right(row, similarity)
        columns.add_right(column, similarity)
    rows.set_thresholds(columns.longest, queries.shape[1])
    columns.set_thresholds(rows.longest, queries.shape[1])
    height, width = TILE
    for top in range(0, len(queries), height):
        for left in range(0, len(candidates), width):
            q, c = slice(top, top + height), slice(left, left + width)
            tile = _Tile(rows, columns, q, c, query_labels[q], candidate_labels[c])
            rows.ahead[q] += tile.count_ahead(*rows.thresholds(q, (-1, 1)), axis=1)
            if both:
                columns.ahead[c] += tile.count_ahead(*columns.thresholds(c, (1, -1)), axis=0)
        if report:
            report(min(1.0, (top + height) / len(queries)))
    return rows.counts(columns), columns.counts(rows)


class _Side:
    """Queries, or candidates seen as queries: what their best right answer reaches, and how many wrong ones do.

    Args:
        features: (N, D).
        num_others: how many there are on the other side.
    """

    def __init__(self, features: Array, num_others: int) -> None:
        self.given, self.num_others = features, num_others
        self.is_number = np.isfinite(features).all(axis=1)  # (N,)
        self.features = np.asarray(features, dtype=np.float32)
        if not self.is_number.all():  # a quiet NaN is never ahead in a tile; it is added in the end
            self.features = np.where(self.is_number[:, None], self.features, np.float32(np.nan))
        self.lengths = np.sqrt(np.einsum('nd,nd->n', self.features, self.features))  # (N,)
        self.longest = float(self.lengths[self.is_number].max(initial=0.0))
        self.best = np.full(len(features), -np.inf)
        self.has_right = np.zeros(len(features), dtype=bool)
        self.ahead = np.zeros(len(features), dtype=np.int64)

    def add_right(self, index: Array, similarity: Array) -> None:
        """Take note of right answers: ``index`` (P,) of this side, ``similarity`` (P,) float64."""
        np.maximum.at(self.best, index, similarity)  # NaN stays
        self.has_right[index] = True

    def set_thresholds(self, longest: float, dim: int) -> None:
        """Fix what a float32 similarity must be to be surely behind (below ``low``) or ahead (``high`` or more).

        A float32 product of vectors of D terms is wrong by less than (D + 4) 2^-24 |a| |b| (Higham, "Accuracy and
        Stability of Numerical Algorithms", section 3.1; 4 more for rounding the inputs to float32).
        """
        reach = (dim + 4) * 2.0**-24 * np.nan_to_num(self.lengths) * longest + TIE
        self.low = np.nextafter((self.best - reach).astype(np.float32), np.float32(-np.inf))
        self.high = np.nextafter((self.best + reach).astype(np.float32), np.float32(np.inf))

    def thresholds(self, some: slice, shape: tuple[int, int]) -> tuple[Array, Array, Array]:
        """``low``, ``high`` and ``best`` of some of them in this shape."""
        return self.low[some].reshape(shape), self.high[some].reshape(shape), self.best[some].reshape(shape)

    def counts(self, others: '_Side') -> Array:
        """(N,): wrong answers ahead, those among them that are no numbers too; all where the right one is none."""
        ahead = self.ahead + np.count_nonzero(~others.is_number)
        is_known = self.has_right & np.isfinite(self.best)
        return np.where(is_known, ahead, self.num_others)


class _Tile:
    """Some queries and some candidates.

    Args:
        rows: the queries' side.
        columns: the candidates' side.
        q: which queries.
        c: which candidates.
        row_labels: (q,).
        column_labels: (c,).
    """

    def __init__(
        self, rows: _Side, columns: _Side, q: slice, c: slice, row_labels: Array, column_labels: Array
    ) -> None:
        self.rows, self.columns = rows.given[q], columns.given[c]
        self.row_labels, self.column_labels = row_labels, column_labels
        self.similarity = rows.features[q] @ columns.features[c].T  # (q, c)

    def count_ahead(self, low: Array, high: Array, best: Array, axis: int) -> Array:
        """Wrong ones ahead.

        Args:
            low, high, best: as of :meth:`_Side.thresholds`, (q, 1) for axis 1 and (1, c) for axis 0.
            axis: 1 counts candidates for each query, 0 queries for each candidate.

        Returns:
            (q,) or (c,).
        """
        surely = self.similarity >= high  # never a right one
        doubtful = (self.similarity >= low) ^ surely
        ahead = surely.sum(axis, dtype=np.uint16)  # four times faster than int64, and a tile is not so large
        count = np.count_nonzero(doubtful)
        if count > _MANY * doubtful.size:
            is_wrong = doubtful & (self.row_labels[:, None] != self.column_labels)
            exact = self.rows.astype(np.float64) @ self.columns.astype(np.float64).T
            return ahead + (is_wrong & (exact >= best - TIE)).sum(axis)
        if count:
            pair = np.nonzero(doubtful)
            is_wrong = self.row_labels[pair[0]] != self.column_labels[pair[1]]
            row, column = pair[0][is_wrong], pair[1][is_wrong]
            counted = row if axis == 1 else column
            wins = self._exact(row, column) >= best.reshape(-1)[counted] - TIE
            return ahead + np.bincount(counted[wins], minlength=len(ahead))
        return ahead

    def _exact(self, row: Array, column: Array) -> Array:
        """(P,) float64 similarities of pairs."""
        at_once = max(1, _PAIR_NUMBERS // self.rows.shape[1])
        parts = [np.empty(0)]
        for start in range(0, len(row), at_once):
            some = slice(start, start + at_once)
            parts.append(_similarity(self.rows[row[some]], self.columns[column[some]]))
        return np.concatenate(parts)


def _similarity(first: Array, second: Array) -> Array:
    """(P,) float64 of (P, D) and (P, D)."""
    return np.einsum('pd,pd->p', first, second, dtype=np.float64)


def _right_pairs(query_labels: Array, candidate_labels: Array, dim: int) -> Iterator[tuple[Array, Array]]:
    """Indices of queries and candidates (P,), (P,) that share a label, all of them in parts of bounded size."""
    order = np.argsort(candidate_labels, kind='stable')
    ordered = candidate_labels[order]
    begins = np.searchsorted(ordered, query_labels, 'left')
    ends = np.cumsum(np.searchsorted(ordered, query_labels, 'right') - begins)  # (Q,) pairs up to each query
    at_once, total = max(1, _PAIR_NUMBERS // max(1, dim)), int(ends[-1]) if len(ends) else 0
    for start in range(0, total, at_once):
        pair = np.arange(start, min(start + at_once, total))
        row = np.searchsorted(ends, pair, 'right')
        within = pair - np.where(row > 0, ends[row - 1], 0)
        yield row, order[begins[row] + within]
