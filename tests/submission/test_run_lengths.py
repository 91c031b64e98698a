import numpy as np
import pytest
from pycocotools import mask as mask_utils

from fgdet.submission.run_lengths import measure_run_lengths


def _measure(*texts):
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    pixels, inside = measure_run_lengths(b''.join(texts), lengths)
    return pixels.tolist(), inside.tolist()


def _counts(mask):
    return mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))['counts']


def test_measure__equals_the_official_encoder_on_random_masks():
    random = np.random.default_rng(0)
    masks = [random.random(random.integers(1, 90, 2)) < random.random() for _ in range(200)]
    y, x = np.mgrid[:480, :640]
    masks += [(y - cy) ** 2 + (x - cx) ** 2 < r * r for cy, cx, r in random.integers(5, 500, (30, 3))]
    masks += [np.zeros((1000, 900), bool), np.ones((1000, 900), bool)]
    pixels, inside = _measure(*map(_counts, masks))
    assert pixels == [mask.size for mask in masks]
    assert inside == [mask.sum() for mask in masks]


def test_measure__hand_worked():
    # 4, then 2 more than nothing, then 3: "423"; the fourth is the difference to the second: 2 + 1 = 3
    assert _measure(b'4', b'423', b'4231') == ([4, 9, 12], [0, 2, 5])
    assert _measure(b'P1') == ([32], [0])  # 32 * 1 + 0: the first character says that one follows


@pytest.mark.parametrize(
    'text',
    [b'/', b'p', b'4 2', '4\xe92'.encode('latin-1'), b'4P', b'PPPPPPPP1', b'423M', b'O'],
    ids=['below', 'above', 'space', 'no ASCII', 'over in a number', 'too long a number', 'negative', 'negative first'],
)
def test_measure__what_is_no_run_lengths(text):
    pixels, inside = _measure(b'4', text, b'42')
    assert pixels == [4, -1, 6] and inside[::2] == [0, 2]


def test_measure__nothing_and_empty_texts():
    assert _measure() == ([], [])
    assert _measure(b'', b'') == ([0, 0], [0, 0])
    assert _measure(b'', b'42', b'') == ([0, 6, 0], [0, 2, 0])
