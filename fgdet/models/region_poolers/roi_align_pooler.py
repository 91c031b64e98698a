"""One vector per region from a dense map, by RoIAlign in float32 as FG-CLIP pools regions.

Axes: B images, N regions of one image, R regions of all images, D embedding, h w grid, P Q bins.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fgdet.ops.roi_align import Implementation, region_pool
from fgdet.registry import MODELS


@MODELS.register_module()
class RoIAlignPooler(nn.Module):
    """Mean of a dense map inside each box (FG-CLIP, arXiv:2505.05071, section 3.1), without normalisation.

    The defaults are FG-CLIP's: one bin, about one bilinear sample per cell of the box, cell centres at 0.5. No box is
    rounded or clipped: samples up to one cell outside of the map are moved to its border, and those further out count
    as zeros in the mean. A box without area gives zeros.

    Args:
        output_size: bins along both axes, or (rows, columns); the region's vector is the mean of its bins.
        sampling_ratio: samples per bin and axis; 0 or less: one per started cell.
        aligned: the centre of the first cell is at 0.5 (True) or at 0.
        implementation: see :func:`fgdet.ops.roi_align.region_pool`.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int] = 1,
        sampling_ratio: int = -1,
        aligned: bool = True,
        implementation: Implementation = 'auto',
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned
        self.implementation = implementation

    def forward(self, dense: Tensor, boxes: Sequence[Tensor], stride: float | tuple[float, float]) -> Tensor:
        """Pool each box.

        Args:
            dense: (B, D, h, w), one cell per patch.
            boxes: B tensors (N_i, 4), xyxy in pixels of the input that ``dense`` was computed from. Keep them in
                float32: bfloat16 holds a pixel above 256 to 2 at best.
            stride: pixels of a cell, the patch size; or (rows, columns).

        Returns:
            (R, D), R = sum of N_i in the order of ``boxes``, in the dtype of ``dense`` but computed in float32.

        Raises:
            ValueError: the number of tensors in ``boxes`` is not B, or one is not (N, 4).
        """
        stride_y, stride_x = stride if isinstance(stride, tuple) else (stride, stride)
        if any(b.ndim != 2 or b.shape[1] != 4 for b in boxes):
            raise ValueError(f'boxes: expected {len(dense)} tensors (N, 4), got {[tuple(b.shape) for b in boxes]}')
        pixels_per_cell = torch.tensor([stride_x, stride_y] * 2, dtype=torch.float32, device=dense.device)
        pooled = region_pool(
            dense.to(torch.promote_types(dense.dtype, torch.float32)),
            [b / pixels_per_cell for b in boxes],
            self.output_size,
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
            implementation=self.implementation,
        )  # (R, D, P, Q)
        return pooled.flatten(2).mean(2).to(dense.dtype)  # (R, D)

    def touched(self, boxes: Sequence[Tensor], size_hw: tuple[int, int], stride: float | tuple[float, float]) -> Tensor:
        """The cells that :meth:`forward` may read, (B, h, w) bool on the boxes' device; all others do not matter.

        A box reads the two cells around each of its samples along each axis.
        """
        stride_y, stride_x = stride if isinstance(stride, tuple) else (stride, stride)
        rows = self._spans(boxes, 1, size_hw[0], stride_y)  # (R, h)
        columns = self._spans(boxes, 0, size_hw[1], stride_x)  # (R, w)
        cells = rows[:, :, None] & columns[:, None, :]  # (R, h, w)
        return torch.stack([each.any(0) for each in cells.split([len(b) for b in boxes])])

    def _spans(self, boxes: Sequence[Tensor], axis: int, count: int, stride: float) -> Tensor:
        """Which of ``count`` cells along an axis each box touches, (R, count)."""
        low, high = (torch.cat([b[:, i] for b in boxes])[:, None] / stride for i in (axis, axis + 2))
        low, high = torch.minimum(low, high) - 0.5 * self.aligned, torch.maximum(low, high) - 0.5 * self.aligned
        if not self.aligned:
            high = torch.maximum(high, low + 1)  # a smaller box counts as a whole cell
        bins = self.output_size if isinstance(self.output_size, int) else self.output_size[1 - axis]
        size = (high - low) / bins
        samples = size.ceil().clamp(min=1) if self.sampling_ratio <= 0 else self.sampling_ratio
        inset = size / samples / 2 - 1e-3  # from the border of the box to its first sample, less what rounding may do
        cells = torch.arange(count, device=low.device)
        # Samples beyond the border are moved to the first or last cell.
        first, last = (low + inset).floor().clamp(max=count - 1), ((high - inset).floor() + 1).clamp(min=0)
        return (cells >= first) & (cells <= last)

    def extra_repr(self) -> str:
        return (
            f'output_size={self.output_size}, sampling_ratio={self.sampling_ratio}, aligned={self.aligned}, '
            f'implementation={self.implementation!r}'
        )
