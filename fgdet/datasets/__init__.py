"""Sources of samples; importing this package registers those that need no mmdet (``ov_coco`` does)."""

from fgdet.datasets import collate, region_text, samplers, shapes_world, shards

__all__ = ['collate', 'region_text', 'samplers', 'shapes_world', 'shards']
