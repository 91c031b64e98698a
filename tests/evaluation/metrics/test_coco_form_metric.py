"""Plain average precision: what a transfer evaluation gives."""

from pathlib import Path

import numpy as np
import pytest

from fgdet.registry import METRICS
from tests.detector_builders import write_annotations


def test_metric__classes_of_the_data_set_whatever_the_order(tmp_path: Path) -> None:
    images = [[('dog', (10, 10, 40, 40)), ('cat', (50, 10, 40, 40))], [('mug', (0, 0, 20, 20))]]
    ann_file = write_annotations(tmp_path / 'ann.json', {'dog': 7, 'cat': 3, 'mug': 1}, images)
    metric = METRICS.build(dict(type='fgdet.CocoFormMetric', ann_file=str(ann_file)))
    metric.dataset_meta = dict(classes=('cat', 'dog'))  # a part of the file: the mug is left out
    boxes = np.array([[10, 10, 50, 50], [50, 10, 90, 30]], dtype=np.float32)  # the cat's is half of it
    instances = dict(bboxes=boxes, scores=np.array([0.9, 0.8]), labels=np.array([1, 0]))
    metric.process({}, [dict(img_id=1, pred_instances=instances)])
    scores = metric.evaluate(size=2)
    assert (scores['coco_form/AP50'], scores['coco_form/AP75']) == pytest.approx((1, 0.5))
    assert scores['coco_form/AP'] == scores['coco_form/APm'] == pytest.approx((1 + 0.1) / 2)
    assert np.isnan(scores['coco_form/APl'])
