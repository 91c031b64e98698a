import json

import pytest

from fgdet.evaluation.results import load_annotations, load_results, validate_results
from fgdet.utils.checks import UserError

GOOD = {'image_id': 5, 'category_id': 2, 'bbox': [0, 0, 3.5, 4], 'score': 0.5}
RUN_LENGTH = {'size': [4, 4], 'counts': '04'}


def test_validate__accepts_good_entries_and_none():
    validate_results([GOOD, {**GOOD, 'extra': 1, 'score': -2}], [5], [2])
    validate_results([{**GOOD, 'segmentation': RUN_LENGTH}], [5], [2], 'segm')
    validate_results([], [], [])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'image_id': 77}, 'image_id 77 is not among the 1 images'),
        ({'image_id': '5'}, "image_id '5' is not among"),
        ({'category_id': 99}, 'category_id 99 is not among the 1 categories'),
        ({'category_id': [2]}, 'category_id'),
        ({'score': None}, 'score: expected a finite number, got None'),
        ({'score': float('nan')}, 'score: expected a finite number'),
        ({'bbox': [0, 0, 3]}, 'bbox: expected four'),
        ({'bbox': [0, 0, -1, 3]}, 'bbox: expected four'),
        ({'bbox': [0, 0, float('inf'), 3]}, 'bbox: expected four'),
        ({'bbox': 'abcd'}, 'bbox: expected four'),
    ],
)
def test_validate__names_the_entry_and_the_value(changes, message):
    with pytest.raises(UserError, match=r'predictions\[1\]: .*' + message):
        validate_results([GOOD, {**GOOD, **changes}], [5], [2])


@pytest.mark.parametrize('field', sorted(GOOD))
def test_validate__missing_field(field):
    entry = {key: value for key, value in GOOD.items() if key != field}
    with pytest.raises(UserError, match=rf"predictions\[0\]: no '{field}'"):
        validate_results([entry], [5], [2])


def test_validate__other_mistakes():
    with pytest.raises(UserError, match=r'\[0\]: expected a dict'):
        validate_results([1], [5], [2])
    with pytest.raises(UserError, match="no 'segmentation'"):
        validate_results([GOOD], [5], [2], 'segm')
    with pytest.raises(UserError, match='compressed run lengths'):
        validate_results([{**GOOD, 'segmentation': [[0, 0, 1, 1]]}], [5], [2], 'segm')
    with pytest.raises(UserError, match='iou_type: expected one of bbox, segm'):
        validate_results([], [], [], 'keypoints')


def test_load_results__refuses_what_is_no_list(tmp_path):
    path = tmp_path / 'p.json'
    path.write_text('{"annotations": []}')
    with pytest.raises(UserError, match=r'expected a COCO result list, got a dict \(an annotation file\?\)'):
        load_results(path)
    path.write_text('nonsense')
    with pytest.raises(UserError, match='not JSON'):
        load_results(path)
    with pytest.raises(UserError, match='no such file'):
        load_results(tmp_path / 'none.json')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], 'expected a COCO-form dict, got a list'),
        ({'images': [], 'categories': []}, "no list under 'annotations'"),
        ({'images': [{}], 'categories': [], 'annotations': []}, r"images\[0\] has no 'id'"),
        ({'images': [], 'categories': [{'id': 1}], 'annotations': []}, r"categories\[0\] has no 'name'"),
        ({'images': [], 'categories': [], 'annotations': [1]}, r'annotations\[0\] has no'),
        (
            {'images': [], 'categories': [], 'annotations': [{'image_id': 1, 'category_id': 1, 'bbox': [1, 2]}]},
            r'annotations\[0\]\.bbox: expected four',
        ),
    ],
)
def test_load_annotations__refuses(tmp_path, content, message):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        load_annotations(path)
