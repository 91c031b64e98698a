from fgdet.datasets.transforms.image import FlipRegionTextImage, LoadRegionTextImage, ResizeRegionTextImage
from fgdet.datasets.transforms.texts import PackRegionTextInputs, TokenizeRegionText

__all__ = [
    'FlipRegionTextImage',
    'LoadRegionTextImage',
    'PackRegionTextInputs',
    'ResizeRegionTextImage',
    'TokenizeRegionText',
]
