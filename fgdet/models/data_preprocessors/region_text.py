"""Region-text batches from bytes to normalised pixels on the model's device."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from fgdet.checkpoints.hf_fg_clip import IMAGE_MEAN, IMAGE_STD
from fgdet.registry import MODELS


@MODELS.register_module()
class RegionTextDataPreprocessor(BaseDataPreprocessor):
    """Stack images of one size and normalise them as CLIP does: ``(x / 255 - mean) / std``.

    Args:
        mean: per-channel mean of RGB in 0..1.
        std: per-channel standard deviation.

    Attributes:
        normalization: ``mean`` and ``std`` as they were given; the buffers are rounded to float32.
    """

    def __init__(self, mean: Sequence[float] = IMAGE_MEAN, std: Sequence[float] = IMAGE_STD) -> None:
        super().__init__()
        self.normalization = dict(mean=tuple(mean), std=tuple(std))
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """``inputs``: B uint8 images (3, H, W), or stacked -> (B, 3, H, W) float32; ``data_samples`` go to the device.

        Raises:
            RuntimeError: the images differ in size.
        """
        data = self.cast_data(data)
        images = data['inputs']
        pixels = (images if isinstance(images, torch.Tensor) else torch.stack(tuple(images))).float() / 255
        return dict(inputs=(pixels - self.mean) / self.std, data_samples=data['data_samples'])
