import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from fgdet.evaluation.functional.coco_detection import evaluate_ov_coco
from fgdet.registry import METRICS
from fgdet.structures.coco_split import OV_COCO_NAMES
from fgdet.utils.checks import UserError


@pytest.fixture
def data_dir(request):
    return request.config.rootpath / 'tests' / 'data' / 'ov_coco'


def _samples(predictions, annotations, classes):
    """Group COCO results by image in the form of mmdet's data samples."""
    label_of = {c['id']: classes.index(c['name']) for c in annotations['categories'] if c['name'] in classes}
    for image in annotations['images']:
        entries = [entry for entry in predictions if entry['image_id'] == image['id']]
        boxes = torch.tensor([entry['bbox'] for entry in entries], dtype=torch.float64).reshape(-1, 4)
        instances = InstanceData(
            bboxes=torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1),
            scores=torch.tensor([entry['score'] for entry in entries], dtype=torch.float64),
            labels=torch.tensor([label_of[entry['category_id']] for entry in entries], dtype=torch.int64),
        )
        yield {'img_id': image['id'], 'pred_instances': instances}


def test_metric__gives_the_reference_numbers_for_any_order_of_classes(data_dir, tmp_path):
    annotations = json.loads((data_dir / 'annotations.json').read_text())
    predictions = json.loads((data_dir / 'predictions_bbox.json').read_text())
    expected = json.loads((data_dir / 'expected_bbox.json').read_text())
    outfile = tmp_path / 'results.json'
    config = {'type': 'fgdet.OVCocoMetric', 'ann_file': str(data_dir / 'annotations.json'), 'outfile': str(outfile)}
    metric = METRICS.build(config)
    classes = OV_COCO_NAMES[::-1]
    metric.dataset_meta = {'classes': classes}
    for sample in _samples(predictions, annotations, classes):
        metric.process({}, [sample])
    scores = metric.evaluate(size=len(annotations['images']))
    assert set(scores) == {f'ov_coco/{g}_{m}' for g in ('base', 'novel', 'all') for m in ('ap', 'ap50')}
    for key, value in scores.items():
        assert value == pytest.approx(expected[key.removeprefix('ov_coco/')], abs=1e-6), key
    written = evaluate_ov_coco(annotations, json.loads(outfile.read_text()))
    assert written['novel_ap50'] == scores['ov_coco/novel_ap50']


def _tiny_file(tmp_path):
    mask = np.zeros((20, 20), dtype=np.uint8, order='F')
    mask[2:12, 2:12] = 1
    run_length = mask_utils.encode(mask)
    segmentation = {'size': [20, 20], 'counts': run_length['counts'].decode()}
    thing = {'id': 1, 'image_id': 4, 'category_id': 9, 'bbox': [2, 2, 10, 10], 'area': 100, 'iscrowd': 0}
    content = {
        'images': [{'id': 4, 'height': 20, 'width': 20}, {'id': 5, 'height': 20, 'width': 20}],
        'categories': [{'id': 9, 'name': 'mug'}, {'id': 2, 'name': 'cat'}],
        'annotations': [{**thing, 'segmentation': segmentation}],
    }
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(content))
    return str(path), torch.from_numpy(mask.astype(bool))


def _one_sample(image_id, **fields):
    box = torch.tensor([[2.0, 2, 12, 12]])
    fields = {'bboxes': box, 'scores': torch.tensor([0.5]), 'labels': torch.tensor([1]), **fields}
    return {'img_id': image_id, 'pred_instances': fields}


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_metric__takes_any_split_and_masks(tmp_path, iou_type):
    ann_file, mask = _tiny_file(tmp_path)
    config = {'type': 'fgdet.OVCocoMetric', 'ann_file': ann_file, 'base': ['cat'], 'novel': ['mug']}
    metric = METRICS.build({**config, 'iou_type': iou_type})
    metric.dataset_meta = {'classes': ('cat', 'mug')}
    metric.process({}, [_one_sample(4, masks=mask[None]), _one_sample(5, masks=mask[None])])
    scores = metric.evaluate(size=2)
    # The false positive of image 5 has the same score and comes after the hit.
    assert scores['ov_coco/novel_ap50'] == scores['ov_coco/all_ap50'] == pytest.approx(1.0)
    assert np.isnan(scores['ov_coco/base_ap50'])


def test_metric__boxes_and_masks_of_one_run(tmp_path):
    ann_file, mask = _tiny_file(tmp_path)
    config = {'type': 'fgdet.OVCocoMetric', 'ann_file': ann_file, 'novel': ['mug'], 'iou_type': ['bbox', 'segm']}
    metric = METRICS.build(config)
    metric.dataset_meta = {'classes': ('cat', 'mug')}
    metric.process({}, [_one_sample(4, masks=~mask[None]), _one_sample(5, masks=mask[None])])
    scores = metric.evaluate(size=2)
    assert (scores['ov_coco/novel_ap50'], scores['ov_coco/segm_novel_ap50']) == pytest.approx((1.0, 0.0))


@pytest.mark.parametrize(('annotated_images_only', 'expected'), [(False, 0.5), (True, 1.0)])
def test_metric__images_without_an_object_of_the_split_count_or_not(tmp_path, annotated_images_only, expected):
    ann_file, _ = _tiny_file(tmp_path)
    config = {'type': 'fgdet.OVCocoMetric', 'ann_file': ann_file, 'novel': ['mug']}
    metric = METRICS.build({**config, 'annotated_images_only': annotated_images_only})
    metric.dataset_meta = {'classes': ('cat', 'mug')}
    metric.process({}, [_one_sample(4), _one_sample(5, scores=torch.tensor([0.9]))])
    assert metric.evaluate(size=2)['ov_coco/novel_ap50'] == pytest.approx(expected)


def test_metric__image_that_came_twice_counts_once(tmp_path):
    ann_file, _ = _tiny_file(tmp_path)
    config = {'type': 'fgdet.OVCocoMetric', 'ann_file': ann_file, 'novel': ['mug'], 'outfile': f'{tmp_path}/out.json'}
    metric = METRICS.build(config)
    metric.dataset_meta = {'classes': ('cat', 'mug')}
    metric.process({}, [_one_sample(4), _one_sample(4)])
    metric.evaluate(size=2)
    entry = {'image_id': 4, 'category_id': 9, 'bbox': [2, 2, 10, 10], 'score': 0.5}
    assert json.loads((tmp_path / 'out.json').read_text()) == [entry]


def test_metric__refuses_what_would_score_zero_silently(tmp_path):
    ann_file, _ = _tiny_file(tmp_path)
    config = {'type': 'fgdet.OVCocoMetric', 'ann_file': ann_file, 'base': ['cat'], 'novel': ['mug']}
    metric = METRICS.build(config)
    with pytest.raises(UserError, match="no 'classes'"):
        metric.process({}, [_one_sample(4)])
    metric.dataset_meta = {'classes': ('cat',)}
    with pytest.raises(UserError, match=r"1 of the split's names are not classes of the data set: mug"):
        metric.process({}, [_one_sample(4)])
    with pytest.raises(UserError, match='no such file'):
        METRICS.build({**config, 'ann_file': str(tmp_path / 'none.json')})
    with pytest.raises(UserError, match='iou_type'):
        METRICS.build({**config, 'iou_type': 'box'})
    with pytest.raises(UserError, match='outfile'):
        METRICS.build({**config, 'outfile': 'results'})
