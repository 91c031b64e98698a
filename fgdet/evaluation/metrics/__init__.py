"""Scores of an mmengine run."""

from fgdet.evaluation.metrics.coco_form_metric import CocoFormMetric
from fgdet.evaluation.metrics.ov_coco_metric import OVCocoMetric
from fgdet.evaluation.metrics.ov_lvis_metric import OVLvisMetric
from fgdet.evaluation.metrics.region_text_metric import RegionTextMetric

__all__ = ['CocoFormMetric', 'OVCocoMetric', 'OVLvisMetric', 'RegionTextMetric']
