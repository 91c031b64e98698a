"""RoIAlign for the box head from matrix products: the better choice for small maps.

Axes: R regions of all images, C channels, H W rows and columns of a level, P Q rows and columns of a pooled region.
"""

from typing import Any

from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from fgdet.ops.roi_align import region_pool
from fgdet.registry import MODELS


@MODELS.register_module()
class SeparableRoIExtractor(SingleRoIExtractor):
    """mmdet's choice of a level for each region, pooled by :func:`fgdet.ops.roi_align.region_pool`.

    The values are those of mmcv's RoIAlign. Forward and backward together cost a third of it on a CPU for 7 x 7 regions
    of maps up to 24 x 24, and many times as much on maps of 160 x 160, where ``SingleRoIExtractor`` is right.
    """

    def build_roi_layers(self, layer_cfg: dict[str, Any], featmap_strides: list[int]) -> nn.ModuleList:
        """One pooling for each level; ``layer_cfg`` has ``output_size`` and may have ``sampling_ratio``."""
        return nn.ModuleList(RegionPool(stride, **layer_cfg) for stride in featmap_strides)


class RegionPool(nn.Module):
    """:func:`fgdet.ops.roi_align.region_pool` with fixed settings.

    Args:
        stride: pixels of a cell.
        output_size: rows P and columns Q of a region.
        sampling_ratio: samples per bin and axis; 0 takes one per started cell.
    """

    def __init__(self, stride: int, output_size: int, sampling_ratio: int = 0) -> None:
        super().__init__()
        self.stride = stride
        self.output_size = (output_size, output_size)
        self.sampling_ratio = sampling_ratio

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        """(B, C, H, W) and (R, 5), index of the image, then xyxy in pixels -> (R, C, P, Q)."""
        return region_pool(features, rois, self.output_size, 1 / self.stride, self.sampling_ratio)
