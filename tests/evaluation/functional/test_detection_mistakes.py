import numpy as np
import pytest
from hotcoco.mask import frPyObjects, merge

from fgdet.evaluation.functional.detection_matches import match_detections
from fgdet.evaluation.functional.detection_mistakes import count_missed, find_missed, find_mistakes
from fgdet.evaluation.result_table import ResultTable

CAT, DOG, CUP = 3, 7, 9


def _rectangle(box):
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def _object(image_id, category_id, box, **more):
    area = box[2] * box[3]
    shape = {'bbox': box, 'area': area, 'segmentation': _rectangle(box)}
    return {'image_id': image_id, 'category_id': category_id, 'iscrowd': 0} | shape | more


@pytest.fixture
def scene():
    """A cat (0, 0) to (100, 100), a dog (200, 0) to (300, 100), a small cup; an empty image; a crowd of dogs."""
    objects = [
        _object(1, CAT, [0.0, 0.0, 100.0, 100.0]),
        _object(1, DOG, [200.0, 0.0, 100.0, 100.0]),
        _object(1, CUP, [400.0, 0.0, 10.0, 10.0]),
        _object(3, DOG, [0.0, 0.0, 400.0, 300.0], iscrowd=1),
        _object(3, CAT, [420.0, 0.0, 60.0, 60.0]),
    ]
    return {
        'images': [{'id': number, 'width': 500, 'height': 400} for number in (3, 1, 2)],
        'categories': [{'id': CUP, 'name': 'cup'}, {'id': CAT, 'name': 'cat'}, {'id': DOG, 'name': 'dog'}],
        'annotations': [each | {'id': index + 1} for index, each in enumerate(objects)],
    }


# image, category, box, score, kind (None: not wrong), truth, overlap
DETECTIONS = [
    (1, CAT, [0.0, 0.0, 100.0, 100.0], 0.95, None, None, 0.0),
    (1, CAT, [0.0, 0.0, 100.0, 80.0], 0.9, 'duplicate', 'cat', 0.8),
    (1, CAT, [200.0, 0.0, 100.0, 90.0], 0.8, 'wrong class', 'dog', 0.9),
    (1, DOG, [200.0, 0.0, 100.0, 40.0], 0.7, 'poor overlap', 'dog', 0.4),
    (1, DOG, [0.0, 0.0, 50.0, 50.0], 0.6, 'wrong class, poor overlap', 'cat', 0.25),
    (1, CUP, [200.0, 95.0, 100.0, 100.0], 0.5, 'background', None, 0.0),  # 0.026 of the dog
    (2, DOG, [5.0, 5.0, 9.0, 9.0], 0.85, 'background', None, 0.0),
    (3, DOG, [10.0, 10.0, 50.0, 50.0], 0.99, None, None, 0.0),  # on the crowd
]


def _table(iou_type):
    boxes = np.array([each[2] for each in DETECTIONS])
    masks = [merge(frPyObjects(_rectangle(box), 400, 500)) for box in boxes.tolist()]
    return ResultTable(
        np.array([each[0] for each in DETECTIONS]),
        np.array([each[1] for each in DETECTIONS]),
        np.full((len(boxes), 4), np.nan) if iou_type == 'segm' else boxes,
        np.array([each[3] for each in DETECTIONS]),
        masks if iou_type == 'segm' else None,
    )


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_find_mistakes__each_kind_once(scene, iou_type):
    table = _table(iou_type)
    matches = match_detections(scene, table, [CAT, DOG, CUP], iou_type)
    expected = sorted((each for each in DETECTIONS if each[4]), key=lambda each: -each[3])
    found = find_mistakes(matches, table, scene, iou_type=iou_type)
    assert [each['score'] for each in found] == [each[3] for each in expected]
    assert [each['bbox'] for each in found] == [each[2] for each in expected]
    assert [(each['kind'], each['truth']) for each in found] == [each[4:6] for each in expected]
    assert [each['overlap'] for each in found] == pytest.approx([each[6] for each in expected])
    assert [each['name'] for each in found] == ['cat', 'dog', 'cat', 'dog', 'dog', 'cup']
    assert found[2]['truth_bbox'] == [200.0, 0.0, 100.0, 100.0]
    assert find_mistakes(matches, table, scene, limit=2, iou_type=iou_type) == found[:2]


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_find_missed__largest_first_without_crowds(scene, iou_type):
    table = _table(iou_type)
    matches = match_detections(scene, table, [CAT, DOG, CUP], iou_type)
    found = find_missed(matches, table, scene, iou_type=iou_type)
    assert [(each['image_id'], each['truth']) for each in found] == [(1, 'dog'), (3, 'cat'), (1, 'cup')]
    assert [each['overlap'] for each in found] == pytest.approx([0.4, 0.0, 0.0])
    assert all(each['score'] is None and each['kind'] == 'missed' for each in found)
    assert find_missed(matches, table, scene, limit=1, iou_type=iou_type) == found[:1]
    np.testing.assert_array_equal(count_missed(matches), [1, 1, 1])


def test_find_mistakes__no_detections_and_no_objects(scene):
    nothing = ResultTable(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)), np.zeros(0))
    matches = match_detections(scene, nothing, [CAT, DOG, CUP])
    assert find_mistakes(matches, nothing, scene) == []
    assert len(find_missed(matches, nothing, scene)) == 4
    empty = scene | {'annotations': []}
    table = _table('bbox')
    matches = match_detections(empty, table, [CAT, DOG, CUP])
    assert {each['kind'] for each in find_mistakes(matches, table, empty)} == {'background'}
    assert find_missed(matches, table, empty) == []
