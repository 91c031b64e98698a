"""Records made from COCO-form annotations, on a file small enough to work by hand."""

import json
from pathlib import Path

import pytest

from fgdet.datasets.coco_records import records_from_coco
from fgdet.datasets.region_text import RegionTextDataset
from fgdet.utils.checks import UserError

CONTENT = dict(
    images=[
        dict(id=1, file_name='a.jpg', width=100, height=50),
        dict(id=2, file_name='b.jpg', width=40, height=40),
    ],
    categories=[
        dict(id=1, name='dog', supercategory='animal'),
        dict(id=2, name='person', supercategory='person'),
        dict(id=3, name='cat', supercategory='animal'),
        dict(id=4, name='orange', supercategory='food'),
    ],
    annotations=[
        dict(image_id=1, category_id=2, bbox=[70, 0, 30, 50], iscrowd=0),
        dict(image_id=1, category_id=2, bbox=[0, 0, 10, 40], iscrowd=0),
        dict(image_id=1, category_id=1, bbox=[40, 10, 20, 20], iscrowd=0),
        dict(image_id=1, category_id=4, bbox=[40, 10, 5, 20], iscrowd=0),  # too narrow
        dict(image_id=1, category_id=4, bbox=[0, 0, 100, 50], iscrowd=1),  # a crowd
    ],
)


@pytest.fixture
def ann_file(tmp_path):
    path = tmp_path / 'instances.json'
    path.write_text(json.dumps(CONTENT))
    return path


def test_records__hand_case(ann_file):
    (record,) = records_from_coco(ann_file, num_negatives=2)  # the second image has no box
    assert record['f_path'] == 'a.jpg'
    assert record['short_caption'] == 'two people and a dog'
    assert record['caption'] == (
        'A photograph of two people and a dog. In the picture there is '
        'a person on the right, a person on the left and a dog in the middle.'
    )
    first, second, dog = record['bbox_info']
    assert first['bbox'] == [0.7, 0.0, 1.0, 1.0, 1.0]  # the largest first
    assert (second['short_expr'], dog['long_expr']) == ('person', 'a dog in the middle')


def test_records__negatives_are_absent_categories_of_the_same_kind_first(ann_file):
    (record,) = records_from_coco(ann_file, num_negatives=5)
    assert list(record['bbox_info'][2]['short_expr_negs'].values()) == ['cat', 'orange']
    assert set(record['bbox_info'][0]['short_expr_negs'].values()) == {'cat', 'orange'}


def test_records__are_good_records(ann_file, tmp_path):
    records = tmp_path / 'records.json'
    records.write_text(json.dumps(records_from_coco(ann_file)))
    dataset = RegionTextDataset(str(records), str(tmp_path), pipeline=[])
    parsed = dataset.parse(dataset.records[0])
    assert [region['short_expr'] for region in parsed['regions']] == ['person', 'person', 'dog']


def test_records__not_an_instances_file(tmp_path):
    path = tmp_path / 'other.json'
    path.write_text('{"images": []}')
    with pytest.raises(UserError, match='annotations'):
        records_from_coco(path)


@pytest.mark.parametrize(
    ('key', 'field', 'value'),
    [
        ('images', 'file_name', None),
        ('images', 'width', 0),
        ('categories', 'name', ' '),
        ('annotations', 'bbox', [1, 2]),
        ('annotations', 'bbox', None),
        ('annotations', 'category_id', 123),
        ('annotations', 'category_id', []),
    ],
)
def test_records__a_bad_entry_is_named(ann_file, key, field, value):
    content = json.loads(Path(ann_file).read_text())
    content[key][0][field] = value
    Path(ann_file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf'{key}\[0\] has .* for its {field}'):
        records_from_coco(ann_file)
