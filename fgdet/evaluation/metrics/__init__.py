"""Scores of an mmengine run."""

from fgdet.evaluation.metrics.ov_coco_metric import OVCocoMetric

__all__ = ['OVCocoMetric']
