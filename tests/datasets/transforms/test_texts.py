"""Token ids of a sample, and its packing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fgdet.datasets.transforms.texts import PackRegionTextInputs, TokenizeRegionText


def results(num_regions: int = 3, seed: int = 0) -> dict[str, Any]:
    """Region i has i negatives."""
    regions = [
        dict(
            bbox=(0.0, 0.25 * i, 0.5, 1.0),
            short_expr=f'thing {i}',
            long_expr=f'a long thing {i}',
            negatives=[f'other {i} {j}' for j in range(i)],
        )
        for i in range(num_regions)
    ]
    return dict(
        img=np.zeros((4, 8, 3), dtype=np.uint8),
        ori_shape=(2, 2),
        sample_key='file:1',
        caption='A long caption.',
        short_caption='a caption',
        regions=regions,
        rng=np.random.default_rng(seed),
    )


@pytest.fixture(scope='module')
def tokenize() -> TokenizeRegionText:
    return TokenizeRegionText()


def test_tokenize__every_text_in_its_place(tokenize: TokenizeRegionText) -> None:
    out = tokenize(results())
    ids = tokenize.tokenizer
    assert torch.equal(out['long_ids'], ids('A long caption.', 248)[0])
    assert torch.equal(out['short_ids'], ids('a photo of a caption')[0])
    groups = ['thing 1', 'other 1 0', 'thing 2', 'other 2 0', 'other 2 1']
    assert torch.equal(out['hard_ids'], ids(groups))
    assert out['hard_regions'].tolist() == [1, 2] and out['hard_sizes'].tolist() == [2, 3]
    for i, phrase in enumerate(out['region_ids']):
        assert (ids([f'thing {i}', f'a long thing {i}']) == phrase).all(1).sum() == 1


def test_tokenize__both_phrases_are_drawn_equally_often(tokenize: TokenizeRegionText) -> None:
    long = tokenize.tokenizer('a long thing 0')[0]
    chosen = [torch.equal(tokenize(results(1, seed))['region_ids'][0], long) for seed in range(200)]
    assert 75 < sum(chosen) < 125


def test_tokenize__evaluation_on_short_phrases_alone(tokenize: TokenizeRegionText) -> None:
    short = tokenize.tokenizer('thing 0')[0]
    only_short = TokenizeRegionText(long_share=0)
    assert all(torch.equal(only_short(results(1, seed))['region_ids'][0], short) for seed in range(20))


def test_tokenize__first_regions_are_kept() -> None:
    out = TokenizeRegionText(max_regions=2)(results(5))
    assert len(out['regions']) == len(out['region_ids']) == 2
    assert out['hard_regions'].tolist() == [1]


def test_tokenize__no_region(tokenize: TokenizeRegionText) -> None:
    out = tokenize(results(0))
    assert out['region_ids'].shape == out['hard_ids'].shape == (0, 77)
    assert out['hard_regions'].dtype == out['hard_sizes'].dtype == torch.int64


def test_tokenize__own_vocabulary_and_lengths(tmp_path: Path) -> None:
    (tmp_path / 'vocab.json').write_text('{"a</w>": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}')
    (tmp_path / 'merges.txt').write_text('#version: 0.2\n')
    tokenize = TokenizeRegionText(context_length=5, long_context_length=7, tokenizer=str(tmp_path))
    out = tokenize(results(0) | dict(caption='a a', short_caption='a'))
    assert out['long_ids'].tolist() == [1, 0, 0, 2, 2, 2, 2]
    assert out['short_ids'].shape == (5,) and out['short_ids'][0] == 1 and out['short_ids'][-1] == 2


def test_pack__boxes_become_pixels(tokenize: TokenizeRegionText) -> None:
    packed = PackRegionTextInputs()(tokenize(results()))
    sample = packed['data_samples']
    assert sample.boxes.tolist() == [[0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 4.0, 4.0], [0.0, 2.0, 4.0, 4.0]]
    assert sample.boxes.dtype == torch.float32
    assert (sample.key, sample.img_shape, sample.ori_shape) == ('file:1', (4, 8), (2, 2))


def test_pack__image_is_channels_first(tokenize: TokenizeRegionText) -> None:
    given = tokenize(results(0))
    given['img'][1, 2] = (10, 20, 30)
    image = PackRegionTextInputs()(given)['inputs']
    assert image.shape == (3, 4, 8) and image[:, 1, 2].tolist() == [10, 20, 30]
    assert PackRegionTextInputs()(tokenize(results(0)))['data_samples'].boxes.shape == (0, 4)
