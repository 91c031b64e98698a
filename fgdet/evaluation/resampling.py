"""Bootstrap over images: how far a score would move had other images of the same kind been drawn.

Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7, 1979: the percentile interval.

Axis letters: I images, N items, B resamples.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from fgdet.utils.checks import UserError


class Resampler(Protocol):
    """Scores of one run with each image counted a number of times; the images may be any units that were drawn."""

    image_ids: np.ndarray  # (I,)

    def scores(self, weights: np.ndarray) -> dict[str, float]:
        """Return the scores with image i counted ``weights[i]`` times, (I,) int; all ones give the plain scores."""
        ...


class MeanResampler:
    """Scores that are means over items, such as the regions or captions of an image: those of one image stay together.

    Args:
        image_ids: (I,) ids of what is drawn; ``weights`` follow this order.
        values: by the score's name, (N,) numbers or booleans, one an item; NaN for an item that does not count there.
        item_images: (N,) the image's index in ``image_ids``, 0..I-1, of each item.

    Raises:
        ValueError: the lengths differ, or an index is out of range.
    """

    def __init__(
        self, image_ids: Sequence[int] | np.ndarray, values: Mapping[str, np.ndarray], item_images: np.ndarray
    ) -> None:
        self.image_ids = np.asarray(image_ids)
        images, num = np.asarray(item_images, dtype=np.int64), len(self.image_ids)
        if len(images) and not 0 <= images.min() <= images.max() < num:
            raise ValueError(f'item_images: expected indices in 0..{num - 1}, got {images.min()}..{images.max()}')
        self._sums: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, given in values.items():
            numbers = np.asarray(given, dtype=np.float64)
            if numbers.shape != images.shape:
                raise ValueError(f'{name}: expected {images.shape}, one value an item, got {numbers.shape}')
            known = ~np.isnan(numbers)
            counts = np.bincount(images[known], minlength=num)
            self._sums[name] = np.bincount(images[known], numbers[known], num), counts

    def scores(self, weights: np.ndarray) -> dict[str, float]:
        """Return each mean with the items of image i counted ``weights[i]`` times; NaN where no item counts."""
        found = {}
        for name, (sums, counts) in self._sums.items():
            total = weights @ counts
            found[name] = float(weights @ sums / total) if total else float('nan')
        return found


class Interval(NamedTuple):
    """The middle share of the resampled scores."""

    low: float
    high: float


class Difference(NamedTuple):
    """How two runs differ on the same images."""

    difference: float  # second minus first, on the images as they are
    low: float
    high: float
    probability: float  # share of resamples in which the second is better; ties count half


def image_weights(num_images: int, resamples: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield ``resamples`` draws of I images with replacement, each as (I,) counts; the same seed, the same draws."""
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(generator.integers(0, num_images, num_images), minlength=num_images)


def intervals(run: Resampler, resamples: int = 1000, confidence: float = 0.95, seed: int = 0) -> dict[str, Interval]:
    """Return the percentile interval of each score.

    It is not corrected for bias. A draw repeats some images and lacks others, so the average precision of a class with
    few objects moves to one side, and a mean over such classes may lie outside its interval.

    Args:
        run: what is resampled.
        resamples: B.
        confidence: share of the resamples inside, 0..1.
        seed: of the draws.

    Raises:
        UserError: no image, or fewer than two resamples.
    """
    _check(run, resamples)
    drawn = [run.scores(weights) for weights in image_weights(len(run.image_ids), resamples, seed)]
    return {name: Interval(*_middle([each[name] for each in drawn], confidence)) for name in drawn[0]}


def paired_differences(
    first: Resampler, second: Resampler, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Difference]:
    """Return second minus first for each score that both have, the same images drawn for both.

    Raises:
        UserError: the runs are of different images.
    """
    _check(first, resamples)
    if not np.array_equal(first.image_ids, second.image_ids):
        raise UserError('compare: the two runs are of different images; score both on the same annotation file')
    plain = np.ones(len(first.image_ids), dtype=np.int64)
    before, after = first.scores(plain), second.scores(plain)
    names = [name for name in before if name in after]
    drawn: dict[str, list[float]] = {name: [] for name in names}
    for weights in image_weights(len(first.image_ids), resamples, seed):
        scores_a, scores_b = first.scores(weights), second.scores(weights)
        for name in names:
            drawn[name].append(scores_b[name] - scores_a[name])
    result = {}
    for name in names:
        known = np.array(drawn[name])[~np.isnan(drawn[name])]
        better = float(((known > 0) + 0.5 * (known == 0)).mean()) if len(known) else float('nan')
        result[name] = Difference(after[name] - before[name], *_middle(drawn[name], confidence), better)
    return result


def _check(run: Resampler, resamples: int) -> None:
    if len(run.image_ids) == 0:
        raise UserError('bootstrap: no image to draw from')
    if resamples < 2:
        raise UserError(f'bootstrap: expected at least 2 resamples, got {resamples}')


def _middle(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return the quantiles that leave out the same share on both sides; NaN where every value is."""
    known = np.array(values)[~np.isnan(values)]
    if not len(known):
        return float('nan'), float('nan')
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
