import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from fgdet.registry import METRICS
from fgdet.utils.checks import UserError

SAMPLES = [
    dict(image_feature=torch.tensor(feature), gt_label=torch.tensor([label]))
    for feature, label in (([0.9, 0.1], 0), ([0.2, 0.8], 1), ([0.8, 0.2], 1))  # the last is taken for 0
]


@pytest.mark.parametrize('hook', [False, True], ids=['given', 'from a hook'])
def test_zero_shot_metric__the_last_partial_batch_counts(hook):
    features = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    metric = METRICS.build(dict(type='fgdet.ZeroShotMetric', class_features=None if hook else features))
    if hook:
        metric.set_classes(None, torch.tensor(features))
    evaluator = Evaluator(metric)
    evaluator.process(SAMPLES[:2])
    evaluator.process(SAMPLES[2:])
    expected = {'zero_shot/top1': 2 / 3, 'zero_shot/top5': 1.0, 'zero_shot/mean_per_class': 0.75}
    assert evaluator.evaluate(3) == pytest.approx(expected)


def test_zero_shot_metric__without_classes_is_refused():
    with pytest.raises(UserError, match='give them, or a ClassTextsHook'):
        METRICS.build(dict(type='fgdet.ZeroShotMetric')).process(None, SAMPLES)
