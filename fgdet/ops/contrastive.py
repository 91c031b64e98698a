"""The symmetric contrastive loss in tiles: the matrix of logits never exists, in no direction.

The loss of CLIP (arXiv 2103.00020, figure 3) needs of the logits only their log-sum-exp over each row and each column.
Both are summed up tile by tile with a running maximum (as in arXiv 2205.14135, section 3.1); one tile serves both
directions. The backward pass computes each tile again, and its softmax with the sums that are known by then. That makes
four matrix products of the plain form's three, and saves all its passes over a matrix that lies in memory.

Axes: G pairs of all ranks, t pairs of a tile, D embedding.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Pairs along the side of a tile. Some tile-sized buffers live at once: 16 MiB at 1024 in float32.
TILE_SIZE = 1024


def contrastive_sum(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor,
    labels: Tensor | None = None,
    own: slice | None = None,
    tile_size: int = TILE_SIZE,
) -> Tensor:
    r"""Both cross-entropies of matching pairs, halved and summed over this rank's own pairs.

    With :math:`I` and :math:`T` the L2-normalised rows, :math:`s` the scale and :math:`x = s I T^\top`:

    .. math:: \tfrac12 \sum_{i \in own} [\log \sum_j \exp(x_{ij}) + \log \sum_j \exp(x_{ji}) - 2 x_{ii}]

    Computed in float32 (float64 for float64 features), under autocast too; the same bits on every run. Rows are
    normalised inside, so that no normalised copy is kept; a zero row stays zero. Only the tiles that an own pair needs
    are computed. The result can be differentiated once.

    Args:
        image_features: (G, D) of any floating type; G may be 0.
        text_features: (G, D), row i belongs to image i.
        logit_scale: scalar, factor on the cosines.
        labels: (G,) int; pairs with equal labels have the same text and are left out of each other's negatives.
        own: the pairs that are summed over, of step 1; None: all of them.
        tile_size: pairs along the side of a tile.

    Returns:
        Scalar; 0 without own pairs.

    Raises:
        ValueError: the shapes do not fit, or ``tile_size`` is below 1.
    """
    if image_features.shape != text_features.shape or image_features.ndim != 2:
        raise ValueError(
            f'image_features and text_features: expected one shape (G, D), got {tuple(image_features.shape)} and '
            f'{tuple(text_features.shape)}'
        )
    if labels is not None and labels.shape != image_features.shape[:1]:
        raise ValueError(f'labels: expected shape ({len(image_features)},), got {tuple(labels.shape)}')
    if tile_size < 1:
        raise ValueError(f'tile_size: expected at least 1, got {tile_size}')
    start, stop, _ = (own or slice(None)).indices(len(image_features))
    return _ContrastiveSum.apply(image_features, text_features, logit_scale, labels, (start, stop), tile_size)


class _Part(NamedTuple):
    """Consecutive pairs, the rows or the columns of a tile; either all of them are own pairs or none."""

    rows: slice
    own: bool


class _Tiles:
    """The logits that own pairs need, a tile at a time in one buffer."""

    def __init__(
        self,
        images: Tensor,
        texts: Tensor,
        scale: Tensor,
        labels: Tensor | None,
        own: tuple[int, int],
        tile_size: int,
    ) -> None:
        self.images, self.texts, self.labels = images, texts, labels
        self.dtype = torch.promote_types(torch.promote_types(images.dtype, texts.dtype), torch.float32)
        self.scale = scale.to(self.dtype)
        self.parts = [
            _Part(slice(i, min(i + tile_size, stop)), (start, stop) == own)
            for start, stop in ((0, own[0]), own, (own[1], len(images)))
            for i in range(start, stop, tile_size)
        ]
        side = min(tile_size, len(images))
        self._buffers = images.new_empty(2, side * side, dtype=self.dtype)

    def unit_rows(self, features: Tensor, part: _Part) -> tuple[Tensor, Tensor]:
        """A part's rows, normalised, (t, D), and one over their lengths, (t, 1)."""
        rows = features[part.rows].to(self.dtype)
        inverse = rows.norm(dim=1, keepdim=True).clamp_(min=1e-12).reciprocal_()
        return rows * inverse, inverse

    def row(self, part: _Part, images: Tensor) -> Iterator[tuple[_Part, Tensor, Tensor, Tensor]]:
        """The tiles beside the unit rows of ``part``: their columns' part and unit rows, the logits, a scratch tile."""
        for other in self.parts:
            if not (part.own or other.own):
                continue
            texts, _ = self.unit_rows(self.texts, other)
            logits, scratch = self._buffers[:, : len(images) * len(texts)].unflatten(1, (len(images), -1))  # (t, t)
            torch.mm(images, texts.T, out=logits).mul_(self.scale)
            if self.labels is not None:
                same = self.labels[part.rows, None] == self.labels[other.rows]
                if other is part:
                    same.fill_diagonal_(False)
                logits.masked_fill_(same, float('-inf'))
            yield other, texts, logits, scratch


class _ContrastiveSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        texts: Tensor,
        scale: Tensor,
        labels: Tensor | None,
        own: tuple[int, int],
        tile_size: int,
    ) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            tiles = _Tiles(images, texts, scale, labels, own, tile_size)
            # The smallest number, not minus infinity: a tile whose row is masked throughout stays free of NaN.
            largest = images.new_full((2, len(images)), torch.finfo(tiles.dtype).min, dtype=tiles.dtype)
            sums, matching = torch.zeros_like(largest), torch.zeros_like(largest[0])  # (2, G) and (G,)
            for part in tiles.parts:
                for other, _, logits, scratch in tiles.row(part, tiles.unit_rows(images, part)[0]):
                    if other is part:
                        matching[part.rows] = logits.diagonal()
                    if part.own:
                        _accumulate(largest[0, part.rows], sums[0, part.rows], logits, scratch, dim=1)
                    if other.own:
                        _accumulate(largest[1, other.rows], sums[1, other.rows], logits, scratch, dim=0)
            ctx.save_for_backward(images, texts, scale, labels, largest + sums.log())
            ctx.settings = own, tile_size
            return ((largest - matching) + sums.log())[:, slice(*own)].sum() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        images, texts, scale, labels, log_sums = ctx.saved_tensors
        with torch.autocast(images.device.type, enabled=False):
            tiles = _Tiles(images, texts, scale, labels, *ctx.settings)
            image_grad, text_grad = (torch.zeros_like(x, dtype=tiles.dtype) for x in (images, texts))
            scale_grad = torch.zeros_like(tiles.scale)
            for part in tiles.parts:
                rows, inverse = tiles.unit_rows(images, part)
                for other, columns, logits, scratch in tiles.row(part, rows):
                    weights = _softmax_minus_target(logits, scratch, log_sums, part, other)
                    image_grad[part.rows].addmm_(weights, columns)
                    text_grad[other.rows].addmm_(weights.T, rows)
                scale_grad += _through_normalisation(image_grad[part.rows], rows, inverse * (tiles.scale * grad / 2))
            for part in tiles.parts:
                rows, inverse = tiles.unit_rows(texts, part)
                _through_normalisation(text_grad[part.rows], rows, inverse * (tiles.scale * grad / 2))
        scale_grad = (scale_grad * grad / 2).to(scale.dtype)
        return image_grad.to(images.dtype), text_grad.to(texts.dtype), scale_grad, None, None, None


def _accumulate(largest: Tensor, sums: Tensor, logits: Tensor, scratch: Tensor, dim: int) -> None:
    """Take a tile into the running maxima and sums of exponentials, (t,) each, of its rows (dim 1) or columns (0)."""
    maxima = torch.maximum(largest, logits.amax(dim))
    torch.sub(logits, maxima.unsqueeze(dim), out=scratch).exp_()
    sums.mul_((largest - maxima).exp_()).add_(scratch.sum(dim))
    largest.copy_(maxima)


def _softmax_minus_target(logits: Tensor, scratch: Tensor, log_sums: Tensor, part: _Part, other: _Part) -> Tensor:
    """Twice the loss's gradient in a tile of logits, (t, t), which overwrites both buffers."""
    if part.own:
        torch.sub(logits, log_sums[0, part.rows, None], out=scratch).exp_()
    if other.own:
        logits.sub_(log_sums[1, other.rows]).exp_()
    weights = scratch.add_(logits) if part.own and other.own else scratch if part.own else logits
    if other is part:
        weights.diagonal().sub_(2)
    return weights


def _through_normalisation(grad: Tensor, rows: Tensor, inverse: Tensor) -> Tensor:
    """Turn the gradient of unit rows into that of the rows, in place; returns the sum of its products with the rows."""
    along = (grad * rows).sum(1, keepdim=True)  # (t, 1)
    grad.addcmul_(rows, along, value=-1).mul_(inverse)
    return along.sum()
