import contextlib
import copy
import io
import json
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fgdet.evaluation.functional.coco_detection import (
    category_ids_of,
    evaluate_coco,
    evaluate_ov_coco,
    precision_and_recall,
)
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.official_evaluators import coco_tables

CATEGORY_IDS = [3, 7, 8, 20, 21]


@pytest.fixture
def data_dir(request):
    return request.config.rootpath / 'tests' / 'data' / 'ov_coco'


def _scene(seed, num_images=12, num_objects=60, num_found=400, score_levels=6):
    """Random boxes with crowds, heavily tied scores, a class without ground truth and one with crowds only.

    Class 20 has no object, class 21 only crowd regions, class 8 no prediction.
    """
    rng = np.random.default_rng(seed)

    def boxes(count):
        return np.concatenate([rng.uniform(0, 60, (count, 2)), rng.uniform(2, 40, (count, 2))], axis=1).round(1)

    objects = []
    for index, box in enumerate(boxes(num_objects)):
        category_id = int(rng.choice([3, 7, 8, 21]))
        is_crowd = int(category_id == 21 or rng.random() < 0.15)
        image_id = int(rng.integers(1, num_images))  # the last image stays empty
        shape = {'bbox': box.tolist(), 'area': float(box[2] * box[3]), 'iscrowd': is_crowd}
        objects.append({'id': index + 1, 'image_id': image_id, 'category_id': category_id, **shape})
    found = []
    for index, box in enumerate(boxes(num_found)):
        source = objects[int(rng.integers(num_objects))]
        if rng.random() < 0.7:
            box = np.array(source['bbox']) + rng.normal(0, 2, 4) * (index % 3)
            box[2:] = box[2:].clip(1)
        category_id = source['category_id'] if rng.random() < 0.8 else int(rng.choice([3, 7, 20]))
        if category_id != 8:
            score = float(rng.integers(score_levels)) / score_levels
            shape = {'bbox': [float(value) for value in box], 'score': score}
            found.append({'image_id': source['image_id'], 'category_id': category_id, **shape})
    images = [{'id': i, 'height': 100, 'width': 100} for i in range(1, num_images + 1)]
    categories = [{'id': category_id, 'name': f'class {category_id}'} for category_id in CATEGORY_IDS]
    return {'images': images, 'categories': categories, 'annotations': objects}, found


def test_evaluate_ov_coco__equals_the_reference_numbers(data_dir):
    annotations = json.loads((data_dir / 'annotations.json').read_text())
    predictions = json.loads((data_dir / 'predictions_bbox.json').read_text())
    expected = json.loads((data_dir / 'expected_bbox.json').read_text())
    scores = evaluate_ov_coco(annotations, predictions)
    assert set(scores) == set(expected)
    for key, value in expected.items():
        assert scores[key] == pytest.approx(value, abs=1e-9), key


def test_precision__equals_pycocotools_on_classes_without_objects_or_predictions():
    annotations, predictions = _scene(0)
    found, _ = precision_and_recall(annotations, predictions, CATEGORY_IDS)
    np.testing.assert_allclose(found, coco_tables(annotations, predictions)[0], rtol=0, atol=1e-12)
    assert np.isnan(found[0, 0, :, 0]).tolist() == [False, False, False, True, True]
    assert not found[:, :, 2, 0].any()  # objects, but nothing found


def test_precision__equals_pycocotools_beyond_100_in_an_image():
    annotations, predictions = _scene(0, num_images=3, num_objects=30, num_found=900, score_levels=50)
    found, _ = precision_and_recall(annotations, predictions, CATEGORY_IDS)
    np.testing.assert_allclose(found, coco_tables(annotations, predictions)[0], rtol=0, atol=1e-12)


def test_precision__no_predictions_at_all():
    found, _ = precision_and_recall(_scene(2)[0], [], CATEGORY_IDS, num_areas=1)
    np.testing.assert_array_equal(found[..., 0].mean(axis=(0, 1)), [0, 0, 0, np.nan, np.nan])


def test_precision__follows_the_given_order_and_changes_nothing():
    annotations, predictions = _scene(3)
    before = copy.deepcopy((annotations, predictions))
    forward, _ = precision_and_recall(annotations, predictions, CATEGORY_IDS)
    backward, _ = precision_and_recall(annotations, predictions, CATEGORY_IDS[::-1])
    np.testing.assert_array_equal(forward[:, :, ::-1], backward)
    assert (annotations, predictions) == before


def test_precision__hand_worked():
    # Two objects; hit (0.9), miss (0.8), hit (0.7): precision 1 up to recall 0.5 (51 of the 101 points), then 2/3.
    image = {'id': 1, 'height': 100, 'width': 100}
    boxes = [[0, 0, 10, 10], [50, 50, 10, 10]]
    annotations = {
        'images': [image],
        'categories': [{'id': 1, 'name': 'a'}],
        'annotations': [{'id': i, 'image_id': 1, 'category_id': 1, 'bbox': box} for i, box in enumerate(boxes)],
    }
    predictions = [
        {'image_id': 1, 'category_id': 1, 'bbox': box, 'score': score}
        for box, score in [(boxes[0], 0.9), ([80, 0, 10, 10], 0.8), (boxes[1], 0.7)]
    ]
    found, _ = precision_and_recall(annotations, predictions, [1], num_areas=1)
    np.testing.assert_allclose(found.mean(axis=1).ravel(), [(51 + 50 * 2 / 3) / 101] * 10)


def test_evaluate_ov_coco__means_leave_out_classes_without_ground_truth():
    annotations, predictions = _scene(4)
    names = [f'class {category_id}' for category_id in CATEGORY_IDS]
    vocabulary = Vocabulary(names, base=names[:2], novel=[names[2], names[3]])
    scores = evaluate_ov_coco(annotations, predictions, vocabulary)
    precision = coco_tables(annotations, predictions)[0][..., 0]
    ap50, ap = precision[0].mean(axis=0), precision.mean(axis=(0, 1))
    assert scores['base_ap50'] == pytest.approx(ap50[:2].mean())
    assert scores['novel_ap'] == pytest.approx(ap[2])
    assert scores['all_ap'] == pytest.approx(np.nanmean(ap))
    assert [scores[f'{group}_classes_with_gt'] for group in ('base', 'novel', 'all')] == [2, 1, 3]


def test_evaluate_ov_coco__group_without_ground_truth_is_nan():
    annotations, predictions = _scene(5)
    scores = evaluate_ov_coco(annotations, predictions, Vocabulary(['class 20'], novel=['class 20']))
    assert all(math.isnan(value) for key, value in scores.items() if 'classes' not in key)


def test_evaluate_ov_coco__refuses_unknown_names_and_ids():
    annotations, predictions = _scene(0)
    with pytest.raises(UserError, match=r"1 of 2 class names have no category: 'unicorn'"):
        evaluate_ov_coco(annotations, predictions, Vocabulary(['class 3', 'unicorn']))
    with pytest.raises(UserError, match='image_id 999'):
        evaluate_ov_coco(annotations, [{**predictions[0], 'image_id': 999}], Vocabulary(['class 3']))
    with pytest.raises(UserError, match="two categories are named 'class 3'"):
        doubled = {**annotations, 'categories': [*annotations['categories'], {'id': 99, 'name': 'class 3'}]}
        evaluate_ov_coco(doubled, [], Vocabulary(['class 3']))
    with pytest.raises(UserError, match="no 'segmentation'"):
        evaluate_ov_coco(annotations, [], Vocabulary(['class 3']), 'segm')


def test_category_ids_of__names_of_lvis_as_prompts_have_them():
    categories = [dict(id=4, name='bat_(animal)'), dict(id=2, name='tea_pot'), dict(id=9, name='tea pot')]
    assert category_ids_of(['tea pot', 'bat (animal)'], categories) == [9, 4]
    assert category_ids_of(['bat_(animal)', 'tea_pot'], categories) == [4, 2]
    with pytest.raises(UserError, match=r"1 of 2 class names have no category: 'bat \(animal\)'"):
        category_ids_of(['bat_(animal)', 'bat (animal)'], categories)


@pytest.mark.parametrize('seed', [0, 1])
def test_evaluate_coco__equals_pycocotools(seed):
    annotations, predictions = _scene(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(predictions)), 'bbox')
        evaluation.params.catIds = CATEGORY_IDS
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores = evaluate_coco(annotations, predictions, CATEGORY_IDS)
    assert list(scores) == ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR@100']
    stats = evaluation.stats[[0, 1, 2, 3, 4, 5, 8]]
    expected = np.where(stats < 0, np.nan, stats)
    np.testing.assert_allclose(list(scores.values()), expected, atol=1e-9)
