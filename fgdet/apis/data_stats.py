"""How long texts are, how many boxes images have, and how large they are: numbers and a plot of training data."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fgdet.apis.data_samples import Sample, Samples, look_at_image
from fgdet.datasets.region_text import parse_record
from fgdet.structures.region_text_sample import BadRecord
from fgdet.text.tokenizer import Tokenizer
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_bytes

#: What is counted, with its unit. Token lengths are with both marks, before anything is cut.
MEASURES = {
    'caption_tokens': 'tokens of a long caption',
    'short_caption_tokens': 'tokens of a short caption',
    'phrase_tokens': 'tokens of a region phrase or hard negative',
    'boxes': 'boxes of an image',
    'negatives': 'hard negatives of a box',
    'box_side': 'side of a box, square root of its area, in 1/1000 of the image',
    'image_width': 'width of an image in pixels',
    'image_height': 'height of an image in pixels',
}
#: Token lengths from which a text is cut.
LIMITS = {'caption_tokens': 248, 'short_caption_tokens': 77, 'phrase_tokens': 77}
_MOST_TOKENS = 4096
_QUANTILES = {'median': 0.5, 'p95': 0.95, 'p99': 0.99}
Counts = dict[str, Counter[int]]


def count(
    samples: Samples, workers: int = 0, on_progress: Callable[[float, str], None] | None = None
) -> tuple[Counts, dict[str, int]]:
    """Count every measure over the samples that training can use; memory does not grow with their number.

    Args:
        samples: what to look at; images by their headers, where there are some.
        workers: processes besides this one; 0 works in this one.
        on_progress: called with the share that is done and a line of text.

    Returns:
        for each of :data:`MEASURES` how often each value came, and how many ``samples`` there are and how many of them
        are ``usable``.

    Raises:
        UserError: no sample is usable.
    """
    counts: Counts = {name: Counter() for name in MEASURES}
    total = Counter(samples=0, usable=0)
    for part, number in samples.map_parts(partial(_count_part, Tokenizer.clip()), workers, on_progress):
        total.update(number)
        for name, values in part.items():
            counts[name].update(values)
    if not total['usable']:
        raise UserError(
            f'{samples.data}: none of its {total["samples"]} samples can be used; fgdet data verify says why'
        )
    return counts, dict(total)


def summarise(counts: Mapping[str, Mapping[int, int]]) -> dict[str, dict[str, float]]:
    """``count``, ``min``, ``mean``, ``median``, ``p95``, ``p99`` and ``max`` of each measure that has values.

    Token lengths also have ``cut``, the share of texts that are longer than what the model reads.
    """
    summary = {}
    for name, found in counts.items():
        if not found:
            continue
        values, times = (np.array(each) for each in zip(*sorted(found.items()), strict=True))
        up_to = np.cumsum(times)
        numbers = dict(count=int(up_to[-1]), min=int(values[0]), mean=float(values @ times / up_to[-1]))
        for quantile, share in _QUANTILES.items():
            numbers[quantile] = int(values[np.searchsorted(up_to, share * up_to[-1])])
        numbers['max'] = int(values[-1])
        if name in LIMITS:
            numbers['cut'] = float(times[values > LIMITS[name]].sum() / up_to[-1])
        summary[name] = numbers
    return summary


def write_plot(path: str | Path, counts: Mapping[str, Mapping[int, int]]) -> None:
    """Draw a histogram of each measure that has values into a PNG."""
    shown = {name: found for name, found in counts.items() if found}
    figure = Figure(figsize=(14, 3.2 * -(-len(shown) // 3)), layout='constrained')
    for place, (name, found) in enumerate(shown.items(), 1):
        axes = figure.add_subplot(-(-len(shown) // 3), 3, place)
        low, high = min(found), max(found)
        whole = max(1, -(-(high - low + 1) // 60))  # values in a bar
        edges = np.arange(low, high + whole + 1, whole) - 0.5
        axes.hist(list(found), bins=edges.tolist(), weights=list(found.values()), color='#3b6fb5')
        if low <= LIMITS.get(name, low - 1) <= high:
            axes.axvline(LIMITS[name] + 0.5, color='#c0392b', linewidth=1.2, label=f'cut above {LIMITS[name]}')
            axes.legend(frameon=False)
        axes.set_xlabel(MEASURES[name], fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[['top', 'right']].set_visible(False)
        axes.tick_params(labelsize=8)
    png = BytesIO()
    figure.savefig(png, format='png', dpi=110)
    write_bytes(path, png.getvalue())


def _count_part(tokenizer: Tokenizer, samples: Samples, number: int) -> tuple[Counts, dict[str, int]]:
    texts: dict[str, list[str]] = {name: [] for name in LIMITS}
    counts: Counts = {name: Counter() for name in MEASURES}
    total = dict(samples=0, usable=0)
    for sample in samples.part(number):
        total['samples'] += not sample.is_damage
        try:
            _count_sample(sample, texts, counts)
        except BadRecord:
            continue
        total['usable'] += 1
    for name, some in texts.items():
        counts[name].update(map(len, tokenizer.encode(some, _MOST_TOKENS)))
    return counts, total


def _count_sample(sample: Sample, texts: dict[str, list[str]], counts: Counts) -> None:
    """Count the numbers of a sample and put its texts aside.

    Raises:
        BadRecord: training could not use it.
    """
    if sample.content is None or sample.image_error:
        raise BadRecord(sample.error or sample.image_error or '')
    record = parse_record(sample.content)
    if sample.image is not None:
        facts = look_at_image(sample.image, sample.source, decode=False)
        counts['image_width'][facts.width] += 1
        counts['image_height'][facts.height] += 1
    texts['caption_tokens'].append(record['caption'])
    texts['short_caption_tokens'].append(record['short_caption'])
    counts['boxes'][len(record['regions'])] += 1
    for region in record['regions']:
        x1, y1, x2, y2 = region['bbox']
        texts['phrase_tokens'] += [region['short_expr'], *region['negatives']]
        counts['negatives'][len(region['negatives'])] += 1
        counts['box_side'][round(1000 * ((x2 - x1) * (y2 - y1)) ** 0.5)] += 1
