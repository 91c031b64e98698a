import json
import sys
import types

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from fgdet.structures.detections import Detections


def _two(**changes):
    fields = {
        'boxes': [[1, 2, 4, 8], [0, 0, 10, 5]],
        'scores': [0.25, 0.75],
        'labels': [3, 1],
        'names': ['cat', 'mug'],
        **changes,
    }
    return Detections(**fields)


def test_to_coco__writes_xywh_and_category_ids():
    assert _two().to_coco(7, category_ids=[10, 20, 30, 40]) == [
        {'image_id': 7, 'category_id': 40, 'bbox': [1.0, 2.0, 3.0, 6.0], 'score': 0.25},
        {'image_id': 7, 'category_id': 20, 'bbox': [0.0, 0.0, 10.0, 5.0], 'score': 0.75},
    ]
    assert [entry['category_id'] for entry in _two().to_coco(7)] == [3, 1]


@pytest.mark.filterwarnings('ignore:__array__')  # of pycocotools itself
def test_to_coco__masks_round_trip():
    masks = np.random.default_rng(0).random((2, 6, 5)) > 0.5
    entries = json.loads(json.dumps(_two(masks=masks).to_coco(1)))
    decoded = np.stack([mask_utils.decode(entry['segmentation']) for entry in entries])
    np.testing.assert_array_equal(decoded.astype(bool), masks)


def test_to_dict__is_json():
    fields = json.loads(json.dumps(_two().to_dict()))
    assert fields == {
        'boxes': [[1, 2, 4, 8], [0, 0, 10, 5]],
        'scores': [0.25, 0.75],
        'labels': [3, 1],
        'names': ['cat', 'mug'],
    }
    assert set(_two(masks=np.ones((2, 3, 3))).to_dict()) == {*fields, 'masks'}


def test_filter__keeps_the_threshold_itself():
    masks = np.zeros((2, 3, 3), dtype=bool)
    masks[1] = True
    kept = _two(masks=masks).filter(0.75)
    assert kept.names == ('mug',)
    np.testing.assert_array_equal(kept.boxes, [[0, 0, 10, 5]])
    assert kept.masks.all()
    assert len(_two().filter(0.25)) == 2
    assert len(_two().filter(0.9)) == 0


def test_empty__every_conversion():
    empty = Detections([], [], [], [])
    assert empty.boxes.shape == (0, 4)
    assert empty.labels.dtype == np.int64
    assert empty.to_coco(1) == []
    assert empty.to_dict() == {'boxes': [], 'scores': [], 'labels': [], 'names': []}
    assert Detections([], [], [], [], masks=np.zeros((0, 4, 4))).to_coco(1) == []
    assert len(empty.filter(0.5)) == 0


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'boxes': [1, 2, 3, 4]}, r'boxes: expected shape \(N, 4\)'),
        ({'boxes': np.zeros((2, 5))}, r'boxes: .* got \(2, 5\)'),
        ({'scores': [0.5]}, r'scores: expected shape \(2,\) .* got \(1,\)'),
        ({'labels': [[1], [2]]}, 'labels: expected shape'),
        ({'labels': [0.5, 1.0]}, 'labels: expected integers'),
        ({'names': ['cat']}, 'names: expected shape'),
        ({'names': 'ab'}, 'one name for each box'),
        ({'masks': np.zeros((1, 4, 4))}, r'masks: expected shape \(2, H, W\)'),
    ],
)
def test_detections__refuses_what_does_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        _two(**changes)


def test_to_supervision__says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(ImportError, match='pip install supervision'):
        _two().to_supervision()


def test_to_supervision__hands_over_every_field(monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', types.SimpleNamespace(Detections=dict))
    handed = _two().to_supervision()
    np.testing.assert_array_equal(handed['xyxy'], [[1, 2, 4, 8], [0, 0, 10, 5]])
    np.testing.assert_array_equal(handed['class_id'], [3, 1])
    assert handed['data']['class_name'].tolist() == ['cat', 'mug']
    assert handed['mask'] is None
