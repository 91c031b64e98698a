"""Which boxes training may see, and what a label means."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from pycocotools import mask as mask_utils

from fgdet.datasets.ov_coco import OVCocoDataset
from fgdet.datasets.shapes_world import ShapesWorld
from fgdet.structures.vocabulary import Vocabulary, ov_coco_vocabulary
from fgdet.utils.checks import UserError
from tests.detector_builders import CONFIGS, write_annotations

# Ids out of order, and a category that is not in the vocabulary.
CATEGORIES = {'dog': 7, 'cat': 3, 'mug': 9, 'lamp': 1}
VOCABULARY = dict(names=['cat', 'mug', 'dog'], base=['cat', 'dog'], novel=['mug'])
IMAGES: list[list[tuple[Any, ...]]] = [
    [('cat', (10, 20, 30, 40)), ('mug', (0, 0, 5, 5)), ('lamp', (1, 1, 9, 9))],
    [('mug', (10, 10, 20, 20))],
    [('dog', (5, 5, 50, 50)), ('dog', (20, 0, 60, 60), True)],
    [('dog', (0, 0, 90, 70), True)],
    [],
]


def dataset(tmp_path: Path, split: str = 'base', **options: Any) -> OVCocoDataset:
    ann_file = write_annotations(tmp_path / 'annotations.json', CATEGORIES, IMAGES)
    settings: dict[str, Any] = dict(
        vocabulary=VOCABULARY, data_prefix=dict(img=''), pipeline=[], filter_cfg=dict(filter_empty_gt=True)
    )
    return OVCocoDataset(**dict(ann_file=str(ann_file), split=split) | settings | options)


def contents(data: OVCocoDataset) -> dict[int, list[tuple[str, bool]]]:
    """For each image id its boxes' names, looked up by label, and whether they are crowds."""
    names = data.metainfo['classes']
    records = [data.get_data_info(i) for i in range(len(data))]
    return {r['img_id']: [(names[x['bbox_label']], bool(x['ignore_flag'])) for x in r['instances']] for r in records}


def test_base__has_base_boxes_only_and_drops_images_without_any(tmp_path: Path) -> None:
    assert contents(dataset(tmp_path)) == {1: [('cat', False)], 3: [('dog', False), ('dog', True)]}


def test_base__keeps_all_images_where_nothing_is_filtered(tmp_path: Path) -> None:
    kept = contents(dataset(tmp_path, filter_cfg=None))
    assert list(kept) == [1, 2, 3, 4, 5]
    assert kept[2] == []


def test_all__has_every_name_of_the_vocabulary(tmp_path: Path) -> None:
    found = contents(dataset(tmp_path, split='all', test_mode=True))
    assert found[1] == [('cat', False), ('mug', False)]
    assert list(found) == [1, 2, 3, 4, 5]


def test_labels__index_the_vocabulary_not_the_file(tmp_path: Path) -> None:
    data = dataset(tmp_path, split='all')
    assert [x['bbox_label'] for x in data.get_data_info(0)['instances']] == [0, 1]
    assert data.metainfo['classes'] == ('cat', 'mug', 'dog')
    assert data.metainfo['base_classes'] == ('cat', 'dog')
    assert data.get_data_info(0)['instances'][0]['bbox'] == [10, 20, 40, 60]


def test_expected_counts__a_file_that_has_them(tmp_path: Path) -> None:
    """The crowd of image 4 makes it one with a base box, as in OV-COCO's own files; training leaves it out."""
    counts = dict(images=5, boxes=7, classes=4, base_images=3, annotated_images=4)
    assert len(dataset(tmp_path, expected_counts=counts)) == 2


def test_vocabulary__of_the_annotation_file(tmp_path: Path) -> None:
    write_annotations(tmp_path / 'annotations.json', CATEGORIES, IMAGES)
    options: dict[str, Any] = dict(data_prefix=dict(img=''), test_mode=True, pipeline=[])
    data = OVCocoDataset('annotations.json', 'all', 'annotations', data_root=str(tmp_path), **options)
    assert data.metainfo['classes'] == ('lamp', 'cat', 'dog', 'mug')
    assert contents(data)[1] == [('cat', False), ('mug', False), ('lamp', False)]


def test_default__is_ov_coco(tmp_path: Path) -> None:
    names = ov_coco_vocabulary().names
    ann_file = write_annotations(
        tmp_path / 'annotations.json', {name: i for i, name in enumerate(names)}, [[('bus', (0, 0, 9, 9))]]
    )
    data = OVCocoDataset(ann_file=str(ann_file), split='base', data_prefix=dict(img=''), pipeline=[])
    assert len(data.metainfo['classes']) == 65
    assert data.get_data_info(0)['instances'] == []  # a bus is novel


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(split='train'), "split: expected one of base, all, got 'train'"),
        (dict(vocabulary=dict(names=['cat'])), 'base: no names'),
        (dict(vocabulary='annotations'), 'base: no names'),
        (dict(expected_counts='coco'), "expected_counts: expected one of coco_train2017, .* or a dict, got 'coco'"),
        (dict(expected_counts=dict(images=5, base_images=4)), 'it has 5 images, 3 base_images, not the 5 .*, 4'),
        (
            dict(vocabulary=dict(names=['cat', 'owl'], base=['cat'])),
            r'annotation file .*\.json: 1 class names are not in it: owl; its categories: dog, cat, mug, lamp',
        ),
    ],
)
def test_refuses__what_would_give_wrong_labels(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataset(tmp_path, **options)


def test_refuses__data_with_nothing_to_train_on(tmp_path: Path) -> None:
    words = dict(names=['cat', 'owl'], base=['owl'])
    ann_file = write_annotations(tmp_path / 'none.json', dict(cat=1, owl=2), [[('cat', (0, 0, 9, 9))]])
    with pytest.raises(UserError, match=r"none\.json: none of its 1 images has a box of the 1 names of .*'base': owl"):
        dataset(tmp_path, ann_file=str(ann_file), vocabulary=words)


def test_refuses__a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='no such file'):
        OVCocoDataset(ann_file=str(tmp_path / 'no.json'), split='base')


def test_configs__have_the_splits_of_the_package() -> None:
    coco = Config.fromfile(CONFIGS / 'ov_coco' / 'fvit_vit_b16_640.py')
    assert Vocabulary(**coco.model.vocabulary) == ov_coco_vocabulary()
    world, shapes = ShapesWorld(), Config.fromfile(CONFIGS / 'ov_coco' / 'fvit_tiny.py')
    expected = Vocabulary(world.names, world.base_names, world.novel_names, templates=['a photo of a {}.'])
    for config in (shapes.model, shapes.train_dataloader.dataset, shapes.val_dataloader.dataset):
        assert Vocabulary(**config.vocabulary) == expected
    assert [coco.train_dataloader.dataset.split, coco.val_dataloader.dataset.split] == ['base', 'all']
    assert [shapes.train_dataloader.dataset.split, shapes.val_dataloader.dataset.split] == ['base', 'all']


def test_masks__of_run_lengths_and_polygons_are_the_same(tmp_path: Path) -> None:
    square = np.zeros((80, 100), np.uint8, order='F')
    square[10:30, 20:60] = 1
    compressed = mask_utils.encode(square)
    compressed['counts'] = compressed['counts'].decode()
    plain = dict(size=[80, 100], counts=[20 * 80 + 10, *[20, 60] * 39, 20, 80 * 41 - 30])
    polygon = [[20, 10, 60, 10, 60, 30, 20, 30]]
    ann_file = write_annotations(tmp_path / 'annotations.json', CATEGORIES, [[('cat', (20, 10, 40, 20))] * 3])
    content = json.loads(ann_file.read_text())
    for entry, segmentation in zip(content['annotations'], (compressed, plain, polygon), strict=True):
        entry['segmentation'] = segmentation
    ann_file.write_text(json.dumps(content))
    pipeline = Config.fromfile(CONFIGS / 'ov_coco' / 'fvit_mask_tiny.py').train_dataloader.dataset.pipeline[1:2]
    settings: dict[str, Any] = dict(vocabulary=VOCABULARY, data_prefix=dict(img=''), pipeline=[])
    data = OVCocoDataset(ann_file=str(ann_file), split='base', **settings)
    loaded = TRANSFORMS.build(pipeline[0])(data.get_data_info(0) | dict(ori_shape=(80, 100)))
    assert not loaded['gt_ignore_flags'].any()
    for mask in loaded['gt_masks'].masks:
        assert np.array_equal(mask, square)
