"""FG-OVD's metrics of a run give what the functions give."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fgdet.evaluation.functional.fg_ovd import evaluate_fg_ovd_detection
from fgdet.evaluation.metrics.fg_ovd_metric import FGOVDDetectionMetric
from fgdet.evaluation.result_table import ResultTable
from fgdet.registry import METRICS
from fgdet.utils.checks import UserError
from tests.fg_ovd_builders import coco_form, fg_ovd_row

ROWS = [fg_ovd_row(1, [0, 0, 20, 20], 0, [1, 2]), fg_ovd_row(1, [30, 10, 20, 20], 3, [4, 5])]


def test_rank_metric__shares_of_each_subset() -> None:
    metric = METRICS.build(dict(type='fgdet.FGOVDRankMetric'))
    samples = [('hard', [3.0, 2, 1]), ('hard', [2.0, 2]), ('easy', [0.0, 1]), ('hard', [1.0, 2, 1])]
    metric.process(None, [dict(subset=name, scores=torch.tensor(scores)) for name, scores in samples])
    found = metric.evaluate(4)
    assert found == pytest.approx(
        {'fg_ovd/hard': 2 / 3, 'fg_ovd/hard_strict': 1 / 3, 'fg_ovd/easy': 0, 'fg_ovd/easy_strict': 0}
    )


def test_detection_metric__equals_the_function(tmp_path: Path) -> None:
    path = tmp_path / '1_attributes.json'
    path.write_text(json.dumps(coco_form(ROWS)))
    metric = METRICS.build(dict(type='fgdet.FGOVDDetectionMetric', ann_file=str(path), num_negatives=2))
    boxes = torch.tensor([[0.0, 0, 20, 16], [1, 0, 20, 20], [30, 10, 50, 30]])
    scores, labels = torch.tensor([0.5, 0.25, 0.75]), torch.tensor([0, 2, 1])
    instances = dict(bboxes=boxes, scores=scores, labels=labels)
    metric.process(None, [dict(img_id=1, category_id=caption, pred_instances=instances) for caption in (0, 3, 0)])
    xywh = boxes.numpy().astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    captions = np.array([0, 2, 1, 3, 5, 4])
    table = ResultTable(np.full(6, 1), captions, np.tile(xywh, (2, 1)), np.tile(scores.numpy().astype(float), 2))
    expected = evaluate_fg_ovd_detection(coco_form(ROWS), table, np.repeat([0, 3], 3), 2).means()
    assert metric.evaluate(3) == pytest.approx({f'fg_ovd/{key}': value for key, value in expected.items()})
    assert expected['map50'] == pytest.approx(0.5)
    with pytest.raises(UserError, match='image 1 has no vocabulary of caption 1'):
        metric.process(None, [dict(img_id=1, category_id=1, pred_instances=instances)])


def test_detection_metric__file_that_is_not_of_fg_ovd(tmp_path: Path) -> None:
    form = coco_form(ROWS)
    path = tmp_path / '1_attributes.json'
    path.write_text(json.dumps(form))
    with pytest.raises(UserError, match='no caption has 10, 2 at most'):
        FGOVDDetectionMetric(str(path))
    del form['annotations'][1]['neg_category_ids']
    path.write_text(json.dumps(form))
    with pytest.raises(UserError, match=r"annotations\[1\] has no list 'neg_category_ids'"):
        FGOVDDetectionMetric(str(path))
