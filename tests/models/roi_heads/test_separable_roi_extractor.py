"""Values and gradients of mmdet's extractor on mmcv's RoIAlign."""

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from fgdet.models.roi_heads.separable_roi_extractor import SeparableRoIExtractor

SETTINGS = dict(out_channels=3, featmap_strides=[4, 8], finest_scale=20)


def test_forward_and_gradient__those_of_the_compiled_operator() -> None:
    torch.manual_seed(0)
    ours = SeparableRoIExtractor(roi_layer=dict(output_size=3), **SETTINGS)
    theirs = SingleRoIExtractor(roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=0), **SETTINGS)
    corners, sides = torch.rand(40, 2) * 50, 2 + torch.rand(40, 2) * 60
    rois = torch.cat([torch.randint(0, 2, (40, 1)), corners, corners + sides], dim=1)
    outputs, gradients = [], []
    for extractor in (ours, theirs):
        torch.manual_seed(1)
        maps = [torch.randn(2, 3, 16, 16, requires_grad=True), torch.randn(2, 3, 8, 8, requires_grad=True)]
        output = extractor(maps, rois)
        output.square().sum().backward()
        outputs.append(output)
        gradients += [level.grad for level in maps]
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients[:2], gradients[2:], atol=1e-4, rtol=1e-4)


def test_forward__no_regions() -> None:
    extractor = SeparableRoIExtractor(roi_layer=dict(output_size=3), **SETTINGS)
    maps = [torch.randn(1, 3, 16, 16), torch.randn(1, 3, 8, 8)]
    assert extractor(maps, torch.zeros(0, 5)).shape == (0, 3, 3, 3)
