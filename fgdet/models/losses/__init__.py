from fgdet.models.losses.hard_negative import HardNegativeLoss
from fgdet.models.losses.image_text_contrastive import ImageTextContrastiveLoss
from fgdet.models.losses.region_text_contrastive import RegionTextContrastiveLoss

__all__ = ['HardNegativeLoss', 'ImageTextContrastiveLoss', 'RegionTextContrastiveLoss']
