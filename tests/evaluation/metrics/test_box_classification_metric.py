"""Box classification in an mmengine run: a case worked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fgdet.registry import METRICS
from fgdet.utils.checks import UserError


def test_metric__boxes_by_annotation_id_once_each(tmp_path: Path) -> None:
    objects = [
        dict(id=number, image_id=1 + number // 3, category_id=category, bbox=[1, 1, number, 4])
        for number, category in ((5, 9), (2, 4), (7, 9), (3, 4), (0, 4))
    ]
    content = dict(
        images=[dict(id=2), dict(id=1), dict(id=3)],
        categories=[dict(id=9, name='a', frequency='r'), dict(id=4, name='b', frequency='f'), dict(id=5, name='c')],
        annotations=objects,
    )
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    metric = METRICS.build(dict(type='fgdet.BoxClassificationMetric', ann_file=str(tmp_path / 'ann.json')))
    right, wrong = [1.0, 0.0, 0.0], [0.0, 0.5, 0.8]
    sample = dict(annotation_ids=torch.tensor([5, 3]), region_features=torch.tensor([right, wrong]))
    with pytest.raises(UserError, match='class_features: expected 3, one a category, got none'):
        metric.process({}, [sample])
    metric.set_classes(None, torch.eye(3))
    # Object 0 has no area, object 7 no sample.
    metric.process({}, [sample, dict(annotation_ids=np.array([2, 0]), region_features=np.array([[0, 3.0, 0], right]))])
    metric.process({}, [sample])
    scores = metric.evaluate(size=5)
    assert scores['box_classification/top1'] == 2 / 4 and scores['box_classification/top5'] == 3 / 4
    assert scores['box_classification/class_top1'] == 0.5 and scores['box_classification/frequent_top5'] == 1
    assert scores['box_classification/rare_top5'] == 0.5
