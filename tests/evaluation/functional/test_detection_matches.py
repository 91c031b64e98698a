"""Matches and weighted average precision against the official evaluators, also on data sets written out in copies."""

import json
from contextlib import redirect_stdout
from copy import deepcopy
from io import StringIO

import numpy as np
import pytest
from lvis import LVIS, LVISEval, LVISResults
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fgdet.evaluation.functional.detection_matches import AveragePrecisionResampler, RightDetections, match_detections
from fgdet.evaluation.result_table import ResultTable
from fgdet.utils.checks import UserError
from tests.official_evaluators import coco_tables, lvis_tables, random_scene

SIDE = 60


def scene(seed, num_images=12, num_classes=4, segm=False, ties=True, per_image=12):
    """Objects, crowds among them, and detections near them, with many equal scores where ``ties``."""
    random = np.random.default_rng(seed)
    images = [{'id': int(7 * number + 3), 'height': SIDE, 'width': SIDE} for number in random.permutation(num_images)]
    annotations: list[dict] = []
    predictions: list[dict] = []
    for image in images[1:]:  # the first one is empty
        boxes = random_boxes(random, random.integers(1, 6))
        labels = random.integers(0, num_classes, len(boxes))
        for box, label in zip(boxes, labels, strict=True):
            entry = {'image_id': image['id'], 'category_id': int(5 * label + 2), 'bbox': box.tolist()}
            entry |= {
                'id': len(annotations) + 1,
                'area': float(box[2] * box[3]),
                'iscrowd': int(random.random() < 0.15),
            }
            annotations.append(entry)
        for _ in range(per_image):
            near = random.integers(len(boxes))
            box = boxes[near] + random.normal(0, 2, 4) if random.random() < 0.7 else random_boxes(random, 1)[0]
            box = np.concatenate([box[:2].clip(0, SIDE - 1), box[2:].clip(0)])
            label = labels[near] if random.random() < 0.8 else random.integers(0, num_classes + 1)
            score = random.integers(1, 6) / 5 if ties else random.random()
            predictions.append(
                {
                    'image_id': image['id'],
                    'category_id': int(5 * label + 2),
                    'bbox': box.tolist(),
                    'score': float(score),
                }
            )
    if segm:
        for entry in annotations:
            entry['segmentation'] = ellipse(entry['bbox'])
        for entry in predictions:
            entry['segmentation'] = ellipse(entry['bbox'])
    categories = [{'id': 5 * label + 2, 'name': f'c{label}'} for label in range(num_classes + 1)]  # the last: no object
    return {'images': images, 'annotations': annotations, 'categories': categories}, predictions


def random_boxes(random, number):
    return np.concatenate([random.uniform(0, SIDE / 2, (number, 2)), random.uniform(5, SIDE / 2, (number, 2))], axis=1)


def ellipse(box):
    x, y, width, height = box
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = ((columns - x) / (width + 1) * 2 - 1) ** 2 + ((rows - y) / (height + 1) * 2 - 1) ** 2 <= 1
    coded = masks.encode(np.asfortranarray(inside.astype(np.uint8)))
    return {'size': coded['size'], 'counts': coded['counts'].decode()}


def official(annotations, predictions, iou_type='bbox', max_detections=100):
    """(T, K) average precisions of pycocotools; NaN without objects."""
    with redirect_stdout(StringIO()):
        truth = COCO()
        truth.dataset = deepcopy(annotations)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(deepcopy(predictions)), iou_type)
        evaluation.params.maxDets = [max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, :, 0, 0].mean(axis=1)
    return np.where(precision < 0, np.nan, precision)


def copies(annotations, predictions, weights):
    """The data set in which image i of ascending id stands ``weights[i]`` times, copies of one side by side."""
    by_id = {image['id']: image for image in annotations['images']}
    images: list[dict] = []
    objects: list[dict] = []
    found: list[dict] = []
    for image_id, weight in zip(sorted(by_id), weights, strict=True):
        for _ in range(weight):
            new = {'id': len(images) + 1}
            images.append(by_id[image_id] | new)
            for entry in annotations['annotations']:
                if entry['image_id'] == image_id:
                    objects.append(entry | {'image_id': new['id'], 'id': len(objects) + 1})
            found += [entry | {'image_id': new['id']} for entry in predictions if entry['image_id'] == image_id]
    return annotations | {'images': images, 'annotations': objects}, found


def category_ids(annotations):
    return [each['id'] for each in annotations['categories']]


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
@pytest.mark.parametrize('seed', range(4))
def test_average_precisions__equal_pycocotools(seed, iou_type):
    annotations, predictions = scene(seed, segm=iou_type == 'segm')
    for limit in (100, 2):
        matches = match_detections(annotations, predictions, category_ids(annotations), iou_type, limit)
        found = RightDetections(matches).average_precisions(np.ones(12))
        np.testing.assert_allclose(
            found, official(annotations, predictions, iou_type, limit), rtol=0, atol=1e-12, equal_nan=True
        )


@pytest.mark.parametrize('seed', range(6))
def test_average_precisions__of_weights_are_those_of_a_data_set_written_out(seed):
    annotations, predictions = scene(seed, ties=False)
    table = RightDetections(match_detections(annotations, predictions, category_ids(annotations)))
    random = np.random.default_rng(seed)
    for _ in range(4):
        weights = np.bincount(random.integers(0, 12, 12), minlength=12)
        expected = official(*copies(annotations, predictions, weights))
        np.testing.assert_allclose(table.average_precisions(weights), expected, rtol=0, atol=1e-12, equal_nan=True)


def test_average_precisions__ties_of_several_images_are_those_of_a_data_set_written_out():
    annotations, predictions = scene(0, num_images=30, num_classes=6, per_image=4)
    best = {(each['image_id'], each['category_id'], each['score']): each for each in predictions}
    predictions = list(best.values())  # many equal scores, none of one class in one image
    table = RightDetections(match_detections(annotations, predictions, category_ids(annotations)))
    for seed in range(5):
        weights = np.bincount(np.random.default_rng(seed).integers(0, 30, 30), minlength=30)
        expected = official(*copies(annotations, predictions, weights))
        np.testing.assert_allclose(table.average_precisions(weights), expected, rtol=0, atol=1e-12, equal_nan=True)


def test_average_precisions__a_recall_that_is_reached_exactly():
    """At 100 objects recall 0.35 is below the evaluator's 35 x 0.01 = 0.35000000000000003; its answer is met."""
    images = [{'id': number} for number in range(1, 101)]
    shape = {'category_id': 1, 'bbox': [0.0, 0.0, 10.0, 10.0]}
    objects = [shape | {'image_id': each['id'], 'id': each['id'], 'area': 100.0, 'iscrowd': 0} for each in images]
    found = [shape | {'image_id': each['id'], 'score': 1 - each['id'] / 200} for each in images]
    for each in found[::3]:
        each['bbox'] = [50.0, 50.0, 5.0, 5.0]
    annotations = {'images': images, 'annotations': objects, 'categories': [{'id': 1, 'name': 'a'}]}
    matches = match_detections(annotations, found, [1])
    np.testing.assert_allclose(
        RightDetections(matches).average_precisions(np.ones(100)), official(annotations, found), rtol=0, atol=1e-14
    )


@pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")
@pytest.mark.parametrize('seed', range(4))
def test_match_detections__lvis_rules_equal_lvis_api(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(np, 'float', float, raising=False)  # lvis-api uses what numpy has dropped
    annotations, predictions = scene(seed)
    random = np.random.default_rng(seed)
    for entry in annotations['annotations']:
        del entry['iscrowd']
    for image in annotations['images']:
        present = {each['category_id'] for each in annotations['annotations'] if each['image_id'] == image['id']}
        absent = [number for number in category_ids(annotations) if number not in present]
        image['neg_category_ids'] = [int(number) for number in absent if random.random() < 0.5]
        image['not_exhaustive_category_ids'] = [int(number) for number in present if random.random() < 0.4]
    categories = [each | {'frequency': 'rcf'[each['id'] % 3]} for each in annotations['categories']]
    annotations = annotations | {'categories': categories}
    matches = match_detections(annotations, predictions, category_ids(annotations), 'bbox', 300, lvis_style=True)

    (tmp_path / 'truth.json').write_text(json.dumps(annotations))
    truth = LVIS(tmp_path / 'truth.json')
    evaluation = LVISEval(truth, LVISResults(truth, deepcopy(predictions)), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, :, 0].mean(axis=1)
    expected = np.where(precision < 0, np.nan, precision)
    found = RightDetections(matches).average_precisions(np.ones(12))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, equal_nan=True)


def test_match_detections__hand_worked():
    images = [{'id': 9}, {'id': 4}]
    whole, crowd = {'bbox': [0, 0, 10, 10], 'iscrowd': 0}, {'bbox': [50, 50, 40, 40], 'iscrowd': 1}
    objects = [crowd | {'image_id': 4, 'category_id': 1}, whole | {'image_id': 4, 'category_id': 1}]
    table = ResultTable(
        image_ids=np.array([4, 4, 4, 9, 4]),
        category_ids=np.array([1, 1, 1, 1, 2]),
        boxes=np.array([[0, 0, 10, 6], [0, 0, 10, 10], [55, 55, 9, 9], [0, 0, 9, 9], [0, 0, 1, 1]], dtype=float),
        scores=np.array([0.5, 0.9, 0.5, 0.5, 1.0]),
    )
    annotations = {
        'images': images,
        'annotations': objects,
        'categories': [{'id': 1, 'name': 'a'}, {'id': 2, 'name': 'b'}],
    }
    matches = match_detections(annotations, table, [1])
    assert matches.rows.tolist() == [1, 0, 2, 3]  # category 2 is not wanted; image 4 comes before image 9
    assert matches.image_ids.tolist() == [4, 9] and matches.images.tolist() == [0, 0, 0, 1]
    assert matches.right[0].tolist() == [True, False, False, False]
    assert matches.ignored[0].tolist() == [False, False, True, False]
    assert (matches.object_images.tolist(), matches.object_classes.tolist()) == ([0], [0])


def test_match_detections__bad_and_empty_inputs():
    annotations, predictions = scene(0)
    with pytest.raises(UserError, match=r'predictions\[0\].*image_id 5'):
        match_detections(annotations, [predictions[0] | {'image_id': 5}], [2])
    with pytest.raises(UserError, match='segmentation'):
        match_detections(
            annotations, [predictions[0] | {'segmentation': ellipse([0, 0, 9, 9])}], [2, 7, 12, 17], 'segm'
        )
    nothing = RightDetections(match_detections(annotations, [], [2, 7])).average_precisions(np.ones(12))
    assert (nothing == 0).all()
    no_object = RightDetections(match_detections(annotations | {'annotations': []}, predictions, [2]))
    assert np.isnan(no_object.average_precisions(np.ones(12))).all()


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
@pytest.mark.parametrize('lvis', [False, True])
def test_resampler__sizes_and_recalls_equal_the_official_tools(lvis, iou_type):
    annotations, predictions = random_scene(3, iou_type, lvis)
    numbers = sorted(category_ids(annotations))
    areas = ('all', 'small', 'medium', 'large')
    names = {f'{measure}_{area}': ('all', measure, area) for measure in ('ap', 'ar') for area in areas}
    run = AveragePrecisionResampler(
        lambda area: match_detections(annotations, predictions, numbers, iou_type, 300, lvis, area),
        [image['id'] for image in annotations['images']],
        {'all': np.ones(len(numbers), dtype=bool)},
        names,
    )
    official_tables = lvis_tables if lvis else coco_tables
    precision, recall, *_ = official_tables(annotations, predictions, iou_type, 300)
    found = run.scores(np.ones(len(run.image_ids), dtype=np.int64))
    for index, area in enumerate(areas):
        expected = np.nanmean(precision[..., index]), np.nanmean(recall[..., index])
        np.testing.assert_allclose((found[f'ap_{area}'], found[f'ar_{area}']), expected, rtol=0, atol=1e-12)


def test_resampler__means_over_groups_and_overlaps():
    annotations, predictions = scene(1)
    numbers = category_ids(annotations)
    groups = {'few': np.array([True, True, False, False, False]), 'none': np.arange(5) == 4, 'all': np.ones(5, bool)}
    names = {f'{group}_{measure}': (group, measure, 'all') for group in groups for measure in ('ap50', 'ap75', 'ap')}
    run = AveragePrecisionResampler(
        lambda area: match_detections(annotations, predictions, numbers, area=area),
        [image['id'] for image in annotations['images']],
        groups,
        names,
    )
    expected = official(annotations, predictions)  # (T, K)
    found = run.scores(np.ones(12, dtype=np.int64))
    for group, mask in groups.items():
        of_group = [expected[0, mask], expected[5, mask], expected[:, mask]]
        of_group = [each[~np.isnan(each)] for each in of_group]
        wanted = [each.mean() if len(each) else np.nan for each in of_group]
        measured = [found[f'{group}_{measure}'] for measure in ('ap50', 'ap75', 'ap')]
        np.testing.assert_allclose(measured, wanted, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match='small'):
        AveragePrecisionResampler(run._make_matches, [1], groups, {'x': ('small', 'ap', 'all')})
