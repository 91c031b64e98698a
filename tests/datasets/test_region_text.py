"""FineHARD records: good ones as the official data path gives them, bad ones passed over and named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor
from torch.utils.data import DataLoader

from fgdet.datasets.region_text import RegionTextDataset
from fgdet.datasets.transforms import (
    FlipRegionTextImage,
    LoadRegionTextImage,
    PackRegionTextInputs,
    ResizeRegionTextImage,
    TokenizeRegionText,
)
from fgdet.models.data_preprocessors.region_text import RegionTextDataPreprocessor
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.checks import UserError
from tests.builders import OFFICIAL, official_json, official_tensors, record, region, write_image, write_records


def pipeline(side: int = 16, *more: Any) -> list[Any]:
    return [
        LoadRegionTextImage(),
        ResizeRegionTextImage((side, side)),
        *more,
        TokenizeRegionText(),
        PackRegionTextInputs(),
    ]


def dataset(folder: Path, entries: list[Any], **changes: Any) -> RegionTextDataset:
    """A data set of these records over a folder with one good image."""
    write_image(folder / 'images/good.png')
    write_records(folder / 'records.jsonl', entries)
    settings = dict(records=str(folder / 'records.jsonl'), image_root=str(folder / 'images'), pipeline=pipeline())
    return RegionTextDataset(**(settings | changes))


# -- the official data path ---------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def official_batches() -> list[list[dict[str, Any]]]:
    """The recorded items through our data set, as the two batches of three that the official collator made."""
    data = RegionTextDataset(str(OFFICIAL / 'data/items.json'), str(OFFICIAL / 'data/images'), pipeline(64))
    return [[data[3 * rank + i] for i in range(3)] for rank in range(2)]


def reduced(ids: Tensor) -> Tensor:
    """Real token ids in the recorded model's small vocabulary."""
    table = {int(real): small for real, small in official_json('token_map')['real_to_reduced'].items()}
    return ids.clone().apply_(table.__getitem__)


@pytest.mark.parametrize('rank', [0, 1])
def test_official_batch__pixels(official_batches: list[list[dict[str, Any]]], rank: int) -> None:
    batch = RegionTextDataPreprocessor()(pseudo_collate(official_batches[rank]), True)
    torch.testing.assert_close(batch['inputs'], official_tensors()[f'train.rank{rank}.image'], rtol=0, atol=1e-5)


@pytest.mark.parametrize('rank', [0, 1])
def test_official_batch__boxes(official_batches: list[list[dict[str, Any]]], rank: int) -> None:
    recorded, hard = official_tensors(), 0
    for i, sample in enumerate(s['data_samples'] for s in official_batches[rank]):
        num = int(recorded[f'train.rank{rank}.box_nums'][i])
        boxes = recorded[f'train.rank{rank}.box_infos'][4 * i : 4 * i + num] * 64
        torch.testing.assert_close(sample.boxes, boxes, rtol=0, atol=1e-5)
        num = int(recorded[f'train.rank{rank}.hard_nums'][i])
        boxes = recorded[f'train.rank{rank}.hard_infos'][4 * i : 4 * i + num] * 64
        torch.testing.assert_close(sample.boxes[sample.hard_regions], boxes, rtol=0, atol=1e-5)
        assert sample.hard_sizes.tolist() == [11] * num
        hard += num
    assert hard > 0


@pytest.mark.parametrize('rank', [0, 1])
def test_official_batch__token_ids(official_batches: list[list[dict[str, Any]]], rank: int) -> None:
    recorded = official_tensors()
    samples = [s['data_samples'] for s in official_batches[rank]]
    for ours, theirs in (('long_ids', 'text_long'), ('short_ids', 'text_short')):
        ids = reduced(torch.stack([getattr(s, ours) for s in samples]))
        assert torch.equal(ids, recorded[f'train.rank{rank}.{theirs}'])
    hard = reduced(torch.cat([s.hard_ids for s in samples]))
    assert torch.equal(hard, recorded[f'train.rank{rank}.hard_texts'])


def test_official_batch__region_phrases_are_one_of_the_two(official_batches: list[list[dict[str, Any]]]) -> None:
    tokenizer = TokenizeRegionText().tokenizer
    items = json.loads((OFFICIAL / 'data/items.json').read_text())
    samples = [s['data_samples'] for batch in official_batches for s in batch]
    chosen = []
    for item, sample in zip(items, samples, strict=True):
        for ids, box in zip(sample.region_ids, item['bbox_info'][:4], strict=True):
            match = (tokenizer([box['short_expr'], box['long_expr']]) == ids).all(1)
            assert match.sum() == 1
            chosen.append(int(match.int().argmax()))
    assert {0, 1} == set(chosen)


# -- records ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(records='missing.jsonl'), r'records file missing\.jsonl: no such file'),
        (dict(image_root='missing'), 'image_root missing: no such folder'),
    ],
)
def test_dataset__paths_that_do_not_exist(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataset(tmp_path, [record()], **changes)


def test_dataset__no_record_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='there is no record in it'):
        dataset(tmp_path, [''])


def test_dataset__good_record(tmp_path: Path) -> None:
    sample = dataset(tmp_path, [record(regions=[region(), region((0, 0, 0.5, 0.5), flag_short_neg=0)])])[0]
    image, sample = sample['inputs'], sample['data_samples']
    assert image.shape == (3, 16, 16) and image.dtype == torch.uint8
    assert sample.boxes.tolist() == [[4.0, 4.0, 12.0, 16.0], [0.0, 0.0, 8.0, 8.0]]
    assert sample.hard_regions.tolist() == [0] and sample.hard_sizes.tolist() == [3]
    assert sample.key == f'{tmp_path}/records.jsonl:1' and sample.skipped == ()
    assert sample.img_shape == (16, 16) and sample.ori_shape == (16, 24)


def test_dataset__record_without_regions(tmp_path: Path) -> None:
    for entry in (record(regions=[]), {k: v for k, v in record().items() if k != 'bbox_info'}):
        sample = dataset(tmp_path, [entry])[0]['data_samples']
        assert sample.boxes.shape == (0, 4) and sample.region_ids.shape == (0, 77)
        assert sample.hard_ids.shape == (0, 77) and sample.hard_sizes.shape == sample.hard_regions.shape == (0,)


def test_dataset__texts_of_ten_thousand_words_are_cut(tmp_path: Path) -> None:
    words = 'a mug of tea ' * 2500
    entry = record(caption=words, short_caption=words, regions=[region(short_expr=words, long_expr=words)])
    sample = dataset(tmp_path, [entry])[0]['data_samples']
    short = [record(caption=words[:1300], short_caption=words[:1300], regions=[region(short_expr=words[:1300])])]
    for name in ('long_ids', 'short_ids', 'hard_ids'):
        assert torch.equal(getattr(sample, name), getattr(dataset(tmp_path, short)[0]['data_samples'], name))


def test_dataset__published_prefix_is_not_part_of_the_path(tmp_path: Path) -> None:
    sample = dataset(tmp_path, [record('grit-20m/data-12m/good.png')])[0]['data_samples']
    assert sample.skipped == ()


def test_dataset__box_slightly_outside_is_clipped(tmp_path: Path) -> None:
    data = dataset(tmp_path, [record(regions=[region((-0.009, 0.5, 1.009, 1.0))])])
    assert data[0]['data_samples'].boxes.tolist() == [[0.0, 8.0, 16.0, 16.0]]


BAD = {
    'missing file': (record('none.png'), r'none\.png does not exist'),
    'folder as file': (record('.'), r'cannot be read'),
    'truncated jpeg': (record('half.jpg'), r'half\.jpg cannot be read \(.*truncated'),
    'truncated png': (record('half.png'), r'half\.png cannot be read'),
    'text named jpg': (record('text.jpg'), r'text\.jpg cannot be read \(cannot identify'),
    'empty file': (record('empty.jpg'), r'empty\.jpg cannot be read'),
    'reversed box': (record(regions=[region((0.5, 0.1, 0.2, 0.9))]), r'bbox_info\[0\]\.bbox must have x1 < x2'),
    'reversed rows': (record(regions=[region((0.1, 0.9, 0.2, 0.1))]), r'bbox_info\[0\]\.bbox must have x1 < x2'),
    'flat box': (record(regions=[region((0.1, 0.1, 0.1, 0.9))]), r'bbox_info\[0\]\.bbox must have x1 < x2'),
    'second box': (record(regions=[region(), region((0, 0, 0, 1))]), r'bbox_info\[1\]\.bbox must have x1 < x2'),
    'outside box': (record(regions=[region((0.5, 0.5, 1.2, 0.9))]), r'must be normalised to 0\.\.1'),
    'pixel box': (record(regions=[region((10, 20, 30, 40))]), r'must be normalised to 0\.\.1'),
    'nan box': (record(regions=[region((0.1, float('nan'), 0.5, 0.5))]), 'must hold four numbers'),
    'infinite box': (record(regions=[region((0.1, 0.1, float('inf'), 0.5))]), 'must hold four numbers'),
    'three numbers': (record(regions=[region((0.1, 0.2, 0.3))]), 'must hold four numbers'),
    'box of words': (record(regions=[region('box')]), 'must hold four numbers'),
    'box of nothing': (record(regions=[region(None)]), 'must hold four numbers'),
    'box of lists': (record(regions=[region([[0, 0, 1, 1]])]), 'must hold four numbers'),
    'empty caption': (record(caption=' '), r"caption must be a text that is not empty, got ' '"),
    'no caption': ({'f_path': 'good.png', 'short_caption': 'x'}, 'caption must be a text that is not empty, got None'),
    'empty short caption': (record(short_caption=''), 'short_caption must be a text'),
    'number as caption': (record(caption=3), 'caption must be a text that is not empty, got 3'),
    'empty phrase': (record(regions=[region(short_expr='')]), r'bbox_info\[0\]\.short_expr must be a text'),
    'negatives as a text': (record(regions=[region(short_expr_negs='blue mug')]), 'short_expr_negs must be an object'),
    'negatives as a number': (record(regions=[region(short_expr_negs=3)]), 'short_expr_negs must be an object'),
    'regions as a text': (record(bbox_info='none'), 'bbox_info must be a list, got str'),
    'region as a number': (record(bbox_info=[3]), r'bbox_info\[0\] must be an object, got int'),
    'bad json': ('{"f_path": "good.png", ', r'not valid JSON \(Expecting property name'),
    'record as a list': ('["good.png"]', 'a record must be an object, got list'),
    'path upwards': (record('../secret.png'), r'\.\./secret\.png leaves the image folder'),
    'path from the root': (record('/etc/hostname'), '/etc/hostname leaves the image folder'),
    'path through a link': (record('link.png'), r'link\.png leaves the image folder'),
    'path with a null': (record('a\0b.png'), 'f_path must be a path'),
    'path with half a letter': (record('\ud83d.png'), r"f_path '\\ud83d.png' is no path"),
    'path with half a byte': (record('\udcff.png'), r"f_path '\\udcff.png' is no path"),
    'path that is too long': (record('a' * 300 + '.png'), 'cannot be read .*too long'),
    'path in a circle': (record('circle.png'), "f_path 'circle.png' is no path"),
}


@pytest.fixture
def broken_images(tmp_path: Path) -> Path:
    """A folder with images that are none, and one good image outside of it."""
    folder = tmp_path / 'images'
    for name in ('half.jpg', 'half.png'):
        path = write_image(folder / name, (64, 64))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / 'text.jpg').write_text('this is no image')
    (folder / 'empty.jpg').touch()
    write_image(tmp_path / 'secret.png')
    (folder / 'link.png').symlink_to(tmp_path / 'secret.png')
    (folder / 'circle.png').symlink_to('circle.png')
    return tmp_path


@pytest.mark.parametrize('kind', BAD)
def test_dataset__bad_record_is_passed_over_and_named(broken_images: Path, kind: str) -> None:
    entry, message = BAD[kind]
    data = dataset(broken_images, [record(caption='First.'), entry, record(caption='Third.')])
    assert data[0]['data_samples'].skipped == ()
    sample = data[1]['data_samples']
    assert sample.key.endswith('records.jsonl:3')
    ((source, reason),) = sample.skipped
    assert source == f'{broken_images}/records.jsonl:2'
    with pytest.raises(BadRecord, match=message):
        raise BadRecord(reason)


def test_dataset__bad_records_at_the_end_are_followed_by_the_first(broken_images: Path) -> None:
    data = dataset(broken_images, [record(), record('none.png'), record('text.jpg')])
    skipped = data[1]['data_samples'].skipped
    assert [source.rsplit(':')[1] for source, _ in skipped] == ['2', '3']


def test_dataset__image_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('fgdet.datasets.transforms.image.MOST_PIXELS', 383)
    with pytest.raises(UserError, match=r'good\.png has 24 x 16 pixels'):
        dataset(tmp_path, [record()])[0]


def test_dataset__all_records_bad(tmp_path: Path) -> None:
    data = dataset(tmp_path, [record('none.png')] * 3)
    with pytest.raises(UserError, match=r'3 records in a row are bad, the last .*records\.jsonl:2: image .*none\.png'):
        data[2]


def test_dataset__negatives_count_only_where_the_flag_says_so(tmp_path: Path) -> None:
    regions = [
        region(flag_short_neg=0),
        region(short_expr_negs={}),
        region(short_expr_negs=None),
        region(short_expr_negs={'0': 'blue mug', '1': '', '2': None}),
    ]
    data = dataset(tmp_path, [record(regions=regions)])
    assert [r['negatives'] for r in data.parse(data.records[0])['regions']] == [[], [], [], ['blue mug']]


def test_dataset__long_expression_falls_back_to_the_short_one(tmp_path: Path) -> None:
    data = dataset(tmp_path, [record(regions=[region(long_expr=''), region(long_expr=None)])])
    assert [r['long_expr'] for r in data.parse(data.records[0])['regions']] == ['red mug'] * 2


def test_dataset__a_position_gives_the_same_sample_every_time(tmp_path: Path) -> None:
    data = dataset(tmp_path, [record()] * 2, pipeline=pipeline(16, FlipRegionTextImage()))
    positions = [*range(12), 3]
    samples = [data[p] for p in positions]
    assert torch.equal(samples[3]['inputs'], samples[-1]['inputs'])
    assert torch.equal(samples[3]['data_samples'].region_ids, samples[-1]['data_samples'].region_ids)
    # Later passes over a record draw other choices.
    assert len({s['data_samples'].region_ids.sum().item() for s in samples}) == 2
    assert len({s['data_samples'].boxes.sum().item() for s in samples}) == 1  # the box is symmetric
    assert len({s['inputs'].numpy().tobytes() for s in samples}) == 2


def test_dataset__samples_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    data = dataset(tmp_path, [record(), record('none.png'), record()], pipeline=pipeline(16, FlipRegionTextImage()))
    loaders = [
        DataLoader(data, batch_size=2, sampler=range(8), num_workers=workers, collate_fn=pseudo_collate)
        for workers in (0, 2)
    ]
    for one, two in zip(*loaders, strict=True):
        for a, b in zip(one['data_samples'], two['data_samples'], strict=True):
            assert torch.equal(a.region_ids, b.region_ids) and torch.equal(a.boxes, b.boxes) and a.skipped == b.skipped
        assert np.array_equal(torch.stack(one['inputs']), torch.stack(two['inputs']))
