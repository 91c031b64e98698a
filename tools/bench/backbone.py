"""A frozen ViT-B/16 backbone: attention in windows over global attention, cached features over computed ones.

Windows of 14 patches with one global block in three, as ViTDet has it at 1024 pixels (arXiv 2203.16527, section 3); the
features differ by design, so that ``max_error`` compares windows that cover the map. The step is a pyramid on the
backbone, forward and backward, on images that were seen before.
"""

import tempfile
from typing import Any

import torch
from timing import alternate, num_threads, record
from torch import Tensor

from fgdet.models.backbones.clip_vit import CLIPViTBackbone
from fgdet.models.necks.simple_feature_pyramid import SimpleFeaturePyramid


def run(
    repeats: int = 5,
    threads: int | None = None,
    window_px: int = 1024,
    step_px: int = 320,
    num_layers: int = 12,
    width: int = 768,
) -> dict[str, Any]:
    """Measure both.

    Args:
        repeats: pairs of alternating runs.
        threads: threads that torch computes with; None: its own choice.
        window_px: side of the image for the windows, whose tower has 3 of the blocks.
        step_px: side of the two images of the cached step.
        num_layers: blocks of the tower of the cached step, at least 3.
        width: channels of the towers, a multiple of 64.

    Returns:
        The record of the windows with the records of both as ``cases``.
    """
    with num_threads(threads):
        records = [_windows(repeats, window_px, width), _cached_step(repeats, step_px, num_layers, width)]
    return {**records[0], 'name': 'backbone', 'cases': records}


def _backbone(num_layers: int, width: int, cache: str | None = None, **vision: Any) -> CLIPViTBackbone:
    torch.manual_seed(0)
    settings = None if cache is None else dict(dir=cache)
    taps = tuple((i + 1) * num_layers // 3 - 1 for i in range(3))
    sizes = dict(num_layers=num_layers, width=width, num_heads=width // 64, mlp_width=4 * width)
    return CLIPViTBackbone(sizes | vision, taps, feature_cache=settings)


@torch.no_grad()
def _windows(repeats: int, side: int, width: int) -> dict[str, Any]:
    pixels = torch.randn(1, 3, side, side)
    everywhere = _backbone(3, width)
    windowed = _backbone(3, width, window_size=14, global_blocks=(2,))
    small = pixels[..., :224, :224]
    error = _difference(windowed(small), everywhere(small))
    comparison = alternate(lambda: windowed(pixels), lambda: everywhere(pixels), repeats)
    return record(
        f'windows, {side} px', comparison, error, dict(side=side, window=14, blocks=3, global_blocks=1, width=width)
    )


def _cached_step(repeats: int, side: int, num_layers: int, width: int) -> dict[str, Any]:
    pixels = torch.randn(2, 3, side, side)
    neck = SimpleFeaturePyramid(width, scales=(2, 1, 0.5))

    def step(backbone: CLIPViTBackbone) -> list[Tensor]:
        loss = torch.stack([level.square().mean() for level in neck(backbone(pixels, dense=False))]).sum()
        return list(torch.autograd.grad(loss, list(neck.parameters())))

    with tempfile.TemporaryDirectory() as folder:
        cached, plain = _backbone(num_layers, width, folder), _backbone(num_layers, width)
        step(cached)
        error = _difference(step(cached), step(plain))
        comparison = alternate(lambda: step(cached), lambda: step(plain), repeats)
    settings = dict(side=side, images=2, num_layers=num_layers, width=width)
    return record(f'cached step, {side} px', comparison, error, settings)


def _difference(ours: Any, theirs: Any) -> float:
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))
