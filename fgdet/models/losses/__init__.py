from fgdet.models.losses.federated import FederatedLoss
from fgdet.models.losses.frequency_weighted import FrequencyWeightedLoss
from fgdet.models.losses.hard_negative import HardNegativeLoss
from fgdet.models.losses.image_text_contrastive import ImageTextContrastiveLoss
from fgdet.models.losses.region_text_contrastive import RegionTextContrastiveLoss

__all__ = [
    'FederatedLoss',
    'FrequencyWeightedLoss',
    'HardNegativeLoss',
    'ImageTextContrastiveLoss',
    'RegionTextContrastiveLoss',
]
