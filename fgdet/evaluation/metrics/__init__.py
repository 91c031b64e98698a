"""Scores of an mmengine run."""

from fgdet.evaluation.metrics.box_classification_metric import BoxClassificationMetric
from fgdet.evaluation.metrics.calibration_metric import CalibrationMetric
from fgdet.evaluation.metrics.coco_form_metric import CocoFormMetric
from fgdet.evaluation.metrics.fg_ovd_metric import FGOVDDetectionMetric, FGOVDRankMetric
from fgdet.evaluation.metrics.ov_coco_metric import OVCocoMetric
from fgdet.evaluation.metrics.ov_lvis_metric import OVLvisMetric
from fgdet.evaluation.metrics.region_text_metric import RegionTextMetric
from fgdet.evaluation.metrics.retrieval_metric import RetrievalMetric
from fgdet.evaluation.metrics.zero_shot_metric import ZeroShotMetric

__all__ = [
    'BoxClassificationMetric',
    'CalibrationMetric',
    'CocoFormMetric',
    'FGOVDDetectionMetric',
    'FGOVDRankMetric',
    'OVCocoMetric',
    'OVLvisMetric',
    'RegionTextMetric',
    'RetrievalMetric',
    'ZeroShotMetric',
]
