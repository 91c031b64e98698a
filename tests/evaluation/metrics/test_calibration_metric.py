"""Calibration of a run is that of its saved predictions."""

from pathlib import Path

import numpy as np
import pytest

from fgdet.apis.calibration_evaluation import evaluate_calibration
from fgdet.registry import METRICS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.detector_builders import write_annotations


def test_metric__equals_the_command_on_what_it_wrote(tmp_path: Path) -> None:
    images = [[('dog', (10, 10, 40, 40)), ('cat', (50, 10, 40, 40))], [('mug', (0, 0, 20, 20))]]
    ann_file = write_annotations(tmp_path / 'ann.json', {'dog': 7, 'cat': 3, 'mug': 1}, images)
    files = dict(outfile=str(tmp_path / 'pred.json'), thresholds_file=str(tmp_path / 'vocabulary.json'))
    settings = dict(type='fgdet.CalibrationMetric', ann_file=str(ann_file), min_objects=1, **files)
    metric = METRICS.build(settings)
    metric.dataset_meta = dict(classes=('cat', 'dog', 'mug'))
    boxes = np.array([[10, 10, 50, 50], [50, 10, 90, 50], [0, 0, 5, 5]], dtype=np.float32)
    scores, labels = np.array([0.75, 0.5, 0.25]), np.array([1, 0, 0])
    metric.process({}, [dict(img_id=1, pred_instances=dict(bboxes=boxes, scores=scores, labels=labels))])
    nothing = dict(bboxes=boxes[:0], scores=scores[:0], labels=labels[:0])
    metric.process({}, [dict(img_id=2, pred_instances=nothing)])
    found = metric.evaluate(size=2)
    assert found['calibration/ece'] == pytest.approx((0.25 + 0.5 + 0.25) / 3)  # right, right and wrong
    assert found['calibration/class_ece'] == pytest.approx((0.25 + (0.5 + 0.25) / 2) / 2)
    assert (found['calibration/threshold'], found['calibration/common_f1']) == (0.5, pytest.approx(2 * 2 / 5))
    again = evaluate_calibration(ann_file, tmp_path / 'pred.json', min_objects=1)
    assert {f'calibration/{name}': value for name, value in again.scores.items()} == pytest.approx(found)
    thresholds = Vocabulary.from_file(tmp_path / 'vocabulary.json').thresholds
    assert thresholds == {'cat': 0.5, 'dog': 0.75, 'mug': 0.5}  # nothing was found of the last: the common one
    with pytest.raises(UserError, match='thresholds_file'):
        METRICS.build(settings | {'thresholds_file': 'vocabulary.txt'})
