"""Copies go, others stay, whatever the order and the batches."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fgdet.data_engine.hamming import distances
from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.near_duplicates import (
    MIRRORED,
    NearDuplicateCaptions,
    NearDuplicates,
    first_of_each,
    perceptual_hash,
)
from fgdet.data_engine.stage import Failure
from tests.data_engine.pictures import blurred, save, scene


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ImageRecord]]:
    """Three scenes; copies of the first and the second in other sizes, forms and qualities; a mirrored one."""
    images = tmp_path_factory.mktemp('images')
    first, second, third = (scene(seed) for seed in (1, 2, 3))
    records = [
        save(images, 'a_first.png', first),
        save(images, 'b_small.jpg', first.resize((80, 60)), quality=60),
        save(images, 'c_second.jpg', second, quality=95),
        save(images, 'd_squashed.png', first.resize((300, 300), Image.Resampling.BICUBIC)),
        save(images, 'e_poor.jpg', second, quality=15),
        save(images, 'f_mirrored.png', first.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        save(images, 'g_third.webp', third),
        save(images, 'h_grey.png', blurred(second, 1.5).convert('L')),
    ]
    return images, records


def verdicts(outcomes: Iterator[ImageRecord | Failure]) -> dict[str, str | None]:
    return {o.key[0]: o.dropped and o.dropped.rpartition(' ')[2][0] for o in outcomes if isinstance(o, ImageRecord)}


def test_run_all__copies_go_and_mirror_images_stay_unless_asked(folder: tuple[Path, list[ImageRecord]]) -> None:
    images, records = folder
    expected = dict(a=None, b='a', c=None, d='a', e='c', f=None, g=None, h='c')
    assert verdicts(NearDuplicates(images).run_all(records)) == expected
    assert verdicts(NearDuplicates(images, mirrored=True).run_all(records)) == expected | dict(f='a')


def test_run_all__the_same_for_any_order_batches_and_form(folder: tuple[Path, list[ImageRecord]]) -> None:
    images, records = folder
    expected = list(NearDuplicates(images).run_all(records))
    for batch_size, given in [(1, records), (3, records[::-1]), (100, iter(records[3:] + records[:3]))]:
        assert list(NearDuplicates(images, batch_size=batch_size).run_all(given)) == expected
    hashed = NearDuplicates('/nowhere').run_all(NearDuplicates(images).run(records))  # type: ignore[arg-type]
    assert list(hashed) == expected


def test_run_all__what_is_dropped_or_broken_hides_nothing(folder: tuple[Path, list[ImageRecord]]) -> None:
    images, records = folder
    gone = replace(records[0], dropped='blurred')
    broken = ImageRecord('aa', 'missing.png')
    outcomes = list(NearDuplicates(images).run_all([gone, broken, *records[1:]]))
    assert outcomes[0] == gone
    assert outcomes[1] == Failure('aa', 'image missing.png does not exist')
    assert verdicts(iter(outcomes)) == dict(a='b', b=None, c=None, d='b', e='c', f=None, g=None, h='c')
    assert list(NearDuplicates(images).run_all([])) == []


def test_perceptual_hash__of_a_mirror_image_is_known_and_of_one_colour_is_0() -> None:
    for seed in range(5):
        grey = np.asarray(scene(seed).convert('L'))
        mirrored = np.uint64(perceptual_hash(grey[:, ::-1]) ^ MIRRORED)
        assert distances(np.array([perceptual_hash(grey)], np.uint64), np.array([mirrored]))[0] <= 1
    assert perceptual_hash(np.full((50, 70), 200)) == perceptual_hash(np.zeros((5, 7))) == 0


def naive_first(codes: list[int], distance: int) -> list[int]:
    kept: list[int] = []
    first: list[int] = []
    for i, code in enumerate(codes):
        same = [j for j in range(i) if codes[j] == code]
        near = [j for j in kept if bin(codes[j] ^ code).count('1') <= distance]
        first.append(first[same[0]] if same else near[0] if near else i)
        kept += [i] if first[i] == i else []
    return first


@pytest.mark.parametrize('distance', [0, 2, 6])
def test_first_of_each__is_that_of_the_loop(distance: int) -> None:
    rng = np.random.default_rng(distance)
    codes = rng.integers(0, 2**64, 150, dtype=np.uint64)
    for i in range(30, 150):  # chains: a copy of a copy
        codes[i] = codes[i - int(rng.integers(1, 30))] ^ (np.uint64(int(rng.integers(0, 8))) << np.uint64(3 * (i % 20)))
    assert first_of_each(codes, distance).tolist() == naive_first(codes.tolist(), distance)


def test_captions__the_same_words_are_the_same_caption() -> None:
    texts = ['A red mug.', 'the RED  mug', 'A blue mug.', '', '', 'red, mug', 'mug red']
    records = [ImageRecord(str(i), 'x.png', caption=text) for i, text in enumerate(texts)]
    dropped = [o.dropped is not None for o in NearDuplicateCaptions().run_all(records) if isinstance(o, ImageRecord)]
    assert dropped == [False, True, False, False, False, True, False]
    twice = NearDuplicateCaptions(copies=2).run_all(records[::-1])
    assert [o.key for o in twice if isinstance(o, ImageRecord) and o.dropped] == ['5']


def test_settings__refused() -> None:
    with pytest.raises(ValueError, match='0 to 16 bits of 64, got 17'):
        NearDuplicates('x', distance=17)
    with pytest.raises(ValueError, match='at least 1, got 0'):
        NearDuplicateCaptions(copies=0)
