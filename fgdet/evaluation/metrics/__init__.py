"""Scores of an mmengine run."""

from fgdet.evaluation.metrics.ov_coco_metric import OVCocoMetric
from fgdet.evaluation.metrics.region_text_metric import RegionTextMetric

__all__ = ['OVCocoMetric', 'RegionTextMetric']
