from fgdet.models.region_poolers.roi_align_pooler import RoIAlignPooler

__all__ = ['RoIAlignPooler']
