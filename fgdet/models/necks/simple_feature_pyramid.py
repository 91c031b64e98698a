"""From maps of one resolution to a pyramid.

Axes: B images, h x w patches, D width of the tower.
"""

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from fgdet.registry import MODELS

SCALES = (4, 2, 1, 0.5)


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Resamples each of a plain transformer's maps to its own scale, as ViTDet does (arXiv 2203.16527, section 3).

    Every map is normalised first: nothing normalises the residual stream of a tower before it is tapped, and a frozen
    tower cannot adapt its range. Scale 4 is two deconvolutions, 2 one, 1 nothing, 0.5 a max pooling, whose last row and
    column take what an odd map leaves over. A deconvolution halves the channels, so the outputs have D / 4, D / 2, D
    and D of them.

    With patches of 16 pixels the four scales have strides 4, 8, 16 and 32, the levels P2 to P5; with 14 pixels 3.5, 7,
    14 and 28, which anchors, points and region extractors take as numbers like any other. mmdet's ``FPN`` after it
    brings them to one width and adds coarser ones: P6 by ``num_outs=5``, P7 too by ``num_outs=6``, the new levels by
    convolutions with ``add_extra_convs``.

    Args:
        in_channels: channels D of each map; scales 4 and 2 need a multiple of 4 and 2.
        scales: one of 4, 2, 1 and 0.5 for each map, in their order.
        init_cfg: as for :class:`mmengine.model.BaseModule`.

    Attributes:
        out_channels: channels of each output.

    Raises:
        ValueError: a scale is not among those four.
    """

    def __init__(
        self, in_channels: int, scales: Sequence[float] = SCALES, init_cfg: dict[str, Any] | None = None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        unknown = [scale for scale in scales if scale not in SCALES]
        if unknown or not scales:
            raise ValueError(f'scales: expected some of {", ".join(map(str, SCALES))}, got {tuple(scales)}')
        self.levels = nn.ModuleList(_level(in_channels, scale) for scale in scales)
        self.out_channels = [in_channels // max(1, int(scale)) for scale in scales]

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps to levels.

        Args:
            maps: (B, D, h, w) for each scale; or a single one, which serves all of them, as in ViTDet.

        Returns:
            for each scale (B, out_channels[i], h * scales[i], w * scales[i]), half a row or column rounded up.

        Raises:
            ValueError: the number of maps is neither that of the scales nor one.
        """
        if len(maps) == 1:
            maps = [maps[0]] * len(self.levels)
        if len(maps) != len(self.levels):
            raise ValueError(f'expected {len(self.levels)} maps, one for each scale, or a single one, got {len(maps)}')
        return tuple(level(features) for level, features in zip(self.levels, maps, strict=True))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, h, w)."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _level(channels: int, scale: float) -> nn.Sequential:
    half, quarter = channels // 2, channels // 4
    layers: list[nn.Module] = [ChannelNorm(channels)]
    if scale == 4:
        layers += [nn.ConvTranspose2d(channels, half, 2, stride=2), ChannelNorm(half), nn.GELU()]
        layers += [nn.ConvTranspose2d(half, quarter, 2, stride=2)]
    elif scale == 2:
        layers += [nn.ConvTranspose2d(channels, half, 2, stride=2)]
    elif scale == 0.5:
        layers += [nn.MaxPool2d(2, ceil_mode=True)]
    return nn.Sequential(*layers)
