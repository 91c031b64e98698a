"""Numbers of data against worked ones."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgdet.apis.data_samples import Samples
from fgdet.apis.data_stats import MEASURES, count, summarise, write_plot
from fgdet.utils.checks import UserError
from tests.builders import record, region, write_image, write_records


def make(folder: Path) -> Samples:
    write_image(folder / 'images' / 'a.png', size=(40, 20))
    write_image(folder / 'images' / 'b.png', size=(50, 20))
    entries: list[Any] = [
        record('a.png', caption='cat ' * 300, short_caption='cat', regions=[region((0, 0, 0.5, 0.5))]),
        record('b.png', caption='a photo of a cat', short_caption='cat', regions=[]),
        record(
            'b.png', caption='cat', regions=[region((0, 0, 1, 0.16), short_expr='cat', short_expr_negs={}), region()]
        ),
        record('b.png', caption=''),
        record('none.png'),
        '{',
    ]
    return Samples(str(write_records(folder / 'r.jsonl', entries)), str(folder / 'images'))


def test_count__by_hand(tmp_path: Path) -> None:
    counts, total = count(make(tmp_path))
    assert total == {'samples': 6, 'usable': 3}
    assert counts.keys() == MEASURES.keys()
    assert counts['caption_tokens'] == {302: 1, 7: 1, 3: 1}
    assert counts['short_caption_tokens'] == {3: 2, 5: 1}
    assert counts['phrase_tokens'] == {4: 6, 3: 1}  # 'red mug', 'blue mug' and 'red plate' twice, and 'cat'
    assert counts['boxes'] == {1: 1, 0: 1, 2: 1}
    assert counts['negatives'] == {2: 2, 0: 1}
    assert counts['box_side'] == {500: 1, 400: 1, 612: 1}
    assert counts['image_width'] == {40: 1, 50: 2} and counts['image_height'] == {20: 3}
    assert count(make(tmp_path), workers=1)[0] == counts


def test_summarise__as_numpy_does() -> None:
    values = np.random.default_rng(0).integers(3, 400, 1001)
    row = summarise({'caption_tokens': Counter(values.tolist()), 'boxes': Counter()})['caption_tokens']
    assert row['count'] == 1001 and (row['min'], row['max']) == (values.min(), values.max())
    assert row['mean'] == pytest.approx(values.mean())
    assert row['median'] == np.median(values)
    assert row['p95'] == np.quantile(values, 0.95, method='inverted_cdf')
    assert row['cut'] == np.mean(values > 248)


def test_summarise__measures_without_values_are_left_out() -> None:
    assert list(summarise({'boxes': Counter({0: 2}), 'image_width': Counter()})) == ['boxes']


def test_write_plot__a_panel_for_each_measure(tmp_path: Path) -> None:
    write_plot(
        tmp_path / 'new' / 'plot.png', {'boxes': {0: 3, 7: 1}, 'caption_tokens': {3: 1, 400: 2}, 'negatives': {}}
    )
    with Image.open(tmp_path / 'new' / 'plot.png') as plot:
        pixels = np.asarray(plot.convert('RGB')).astype(int)
    blue = np.abs(pixels - [0x3B, 0x6F, 0xB5]).sum(2) < 12
    columns = np.flatnonzero(blue.any(0)) / blue.shape[1]
    assert (columns < 1 / 3).any() and ((columns > 1 / 3) & (columns < 2 / 3)).any() and not (columns > 2 / 3).any()


def test_count__nothing_usable(tmp_path: Path) -> None:
    path = write_records(tmp_path / 'r.jsonl', [record(caption='')])
    with pytest.raises(UserError, match='none of its 1 samples can be used; fgdet data verify says why'):
        count(Samples(str(path)))
