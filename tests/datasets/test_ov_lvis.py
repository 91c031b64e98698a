"""LVIS files: names, places of images, classes that an image was looked through for, and what training may see."""

import json
from pathlib import Path
from typing import Any

import pytest
from mmdet.datasets.lvis import LVISV1Dataset
from mmengine.dataset import ClassBalancedDataset

from fgdet.datasets.ov_lvis import OVLvisDataset
from fgdet.structures.lvis_split import LVIS_V1_FREQUENCY, LVIS_V1_NAMES, lvis_prompt_name
from fgdet.utils.checks import UserError

# A rare, a common and a frequent class; the last in the file's misspelling.
NAMES = ['applesauce', 'drum_(musical_instrument)', 'speaker_(stero_equipment)']
VOCABULARY = dict(
    names=[lvis_prompt_name(name) for name in NAMES[::-1]],
    base=['speaker (stereo equipment)', 'drum (musical instrument)'],
    novel=['applesauce'],
)


def write(path: Path, names: list[str] = NAMES) -> Path:
    square = [[10, 10, 50, 10, 50, 50, 10, 50]]
    images = [
        dict(
            id=number,
            coco_url=f'http://images.cocodataset.org/{folder}/{number:012}.jpg',
            width=64,
            height=64,
            neg_category_ids=[1, 2],
            not_exhaustive_category_ids=[3],
        )
        for number, folder in ((1, 'train2017'), (2, 'val2017'), (3, 'train2017'))
    ]
    places = [(1, 1), (1, 3), (2, 1), (3, 2)]
    content = dict(
        images=images,
        categories=[dict(id=number, name=name) for number, name in enumerate(names, 1)],
        annotations=[
            dict(id=n, image_id=image, category_id=c, bbox=[10, 10, 40, 40], area=1600, segmentation=square)
            for n, (image, c) in enumerate(places, 1)
        ],
    )
    path.write_text(json.dumps(content))
    return path


def dataset(tmp_path: Path, split: str, **options: Any) -> OVLvisDataset:
    settings: dict[str, Any] = dict(
        vocabulary=VOCABULARY, data_prefix=dict(img='coco/'), filter_cfg=dict(filter_empty_gt=True), pipeline=[]
    )
    return OVLvisDataset(ann_file=str(write(tmp_path / 'lvis.json')), split=split, **settings | options)


def test_names__are_those_of_mmdet() -> None:
    assert tuple(map(lvis_prompt_name, LVISV1Dataset.METAINFO['classes'])) == LVIS_V1_NAMES
    assert [LVIS_V1_FREQUENCY[lvis_prompt_name(name)] for name in NAMES] == ['r', 'c', 'f']


def test_base__never_shows_a_rare_class(tmp_path: Path) -> None:
    data = dataset(tmp_path, 'base')
    records = [data.get_data_info(i) for i in range(len(data))]
    assert [record['img_id'] for record in records] == [1, 3]  # image 2 has nothing but a rare object
    assert [[each['bbox_label'] for each in record['instances']] for record in records] == [[0], [1]]
    assert records[0]['neg_labels'] == [1] and records[0]['not_exhaustive_labels'] == [0]
    assert records[0]['instances'][0]['mask'] == [[10, 10, 50, 10, 50, 50, 10, 50]]


def test_all__every_class_and_images_of_both_folders(tmp_path: Path) -> None:
    data = dataset(tmp_path, 'all', test_mode=True)
    records = [data.get_data_info(i) for i in range(len(data))]
    paths = ['coco/train2017/000000000001.jpg', 'coco/val2017/000000000002.jpg', 'coco/train2017/000000000003.jpg']
    assert [record['img_path'] for record in records] == paths
    assert [each['bbox_label'] for each in records[0]['instances']] == [2, 0]
    assert records[1]['neg_labels'] == [2, 1]


def test_default__is_lvis_v1(tmp_path: Path) -> None:
    path = write(tmp_path / 'lvis.json', [*NAMES, *(name for name in LVIS_V1_NAMES if name not in VOCABULARY['names'])])
    options: dict[str, Any] = dict(ann_file=str(path), split='base', data_prefix=dict(img=''), pipeline=[])
    data = OVLvisDataset(**options)
    assert data.metainfo['classes'] == LVIS_V1_NAMES and len(data.metainfo['novel_classes']) == 337
    with pytest.raises(UserError, match=r"it has 3 images, 4 boxes, 1,203 classes, not the .* of 'lvis_v1_train'"):
        OVLvisDataset(expected_counts='lvis_v1_train', **options)


def test_class_balance__counts_what_training_sees(tmp_path: Path) -> None:
    """Each base class is in one of two images: sqrt(t / f) = sqrt(2 / 0.5) = 2 times each."""
    assert ClassBalancedDataset(dataset(tmp_path, 'base'), oversample_thr=2.0).repeat_indices == [0, 0, 1, 1]
