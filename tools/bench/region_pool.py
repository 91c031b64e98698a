"""Region pooling to one bin, forward and backward: fgdet.ops.roi_align.region_pool over torchvision.ops.roi_align."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from timing import alternate, num_threads, record
from torch import Tensor
from torchvision.ops import roi_align

from fgdet.ops.roi_align import region_pool


class Case(NamedTuple):
    """B images with a map of size x size cells and C channels, N boxes each."""

    num_images: int
    size: int
    channels: int
    num_boxes: int

    @property
    def name(self) -> str:
        return f'{self.num_images} x {self.size}x{self.size}x{self.channels}, {self.num_boxes} boxes'


#: A detector's proposals on ViT-B/16 at 384 px, the headline; then a few such images, a batch of pretraining images at
#: 224 px with the 4 boxes of each, and a large map with many proposals.
CASES = (Case(1, 24, 512, 100), Case(4, 24, 512, 100), Case(16, 14, 512, 4), Case(1, 64, 256, 1000))


def run(repeats: int = 7, threads: int | None = None, cases: tuple[Case, ...] = CASES) -> dict[str, Any]:
    """Measure every case.

    Args:
        repeats: pairs of alternating runs for each case.
        threads: threads that torch computes with; None: its own choice.
        cases: the first is the headline.

    Returns:
        The headline's record with the records of all cases as ``cases``. ``max_error`` is the largest difference of
        the pooled features or of the features' gradient, which for the gradient is relative to its largest element
        where that is above 1; ``settings`` has both.
    """
    with num_threads(threads):
        records = [_measure(case, repeats) for case in cases]
    return {**records[0], 'name': 'region-pool', 'cases': records}


def _measure(case: Case, repeats: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    shape = (case.num_images, case.channels, case.size, case.size)
    features = torch.randn(shape, generator=generator).requires_grad_()
    boxes = [_boxes(case.num_boxes, case.size, generator) for _ in range(case.num_images)]
    grad = torch.randn(case.num_images * case.num_boxes, case.channels, 1, 1, generator=generator)

    def forward_backward(pool: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        pooled = pool(features, boxes, 1, aligned=True)
        return pooled, torch.autograd.grad(pooled, features, grad)[0]

    (ours, our_grad), (theirs, their_grad) = forward_backward(region_pool), forward_backward(roi_align)
    output_error = (ours - theirs).abs().max().item()
    gradient_error = ((our_grad - their_grad).abs().max() / their_grad.abs().max().clamp(min=1)).item()
    comparison = alternate(lambda: forward_backward(region_pool), lambda: forward_backward(roi_align), repeats)
    settings = {**case._asdict(), 'output_error': output_error, 'gradient_error': gradient_error}
    return record(case.name, comparison, max(output_error, gradient_error), settings)


def _boxes(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Boxes (N, 4) in cells, sides uniform between half a cell and half the map, clipped to the map."""
    centre = torch.rand(count, 2, generator=generator) * size
    half = (0.5 + torch.rand(count, 2, generator=generator) * (size / 2 - 0.5)) / 2
    return torch.cat([centre - half, centre + half], 1).clamp(0, size)
