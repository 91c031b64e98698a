"""The symmetric contrastive loss in tiles: the matrix of logits never exists, in no direction.

The loss of CLIP (arXiv 2103.00020, figure 3) needs of the logits only their log-sum-exp over each row and each column.
Both are summed up tile by tile with a running maximum (as in arXiv 2205.14135, section 3.1); one tile serves both
directions. The backward pass computes each tile again, and its softmax with the sums that are known by then. That makes
four matrix products where the plain form has three, but no pass over a matrix that does not fit into a cache.

Axes: G pairs of all ranks, t pairs of a tile, D embedding.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Pairs along the side of a tile: two squares of them and two sets of unit rows are kept, 12 MiB in float32 with D 512.
#: On a CPU, 512 to 2048 take the same time; smaller tiles wait more often for the other threads.
TILE_SIZE = 1024


@torch.compiler.disable  # a traced graph would hold every tile
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
    """The logits that own pairs need, a tile at a time; every tile is written into the same memory."""

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
        self.scale = scale.to(images.device, self.dtype)
        self.parts = [
            _Part(slice(i, min(i + tile_size, stop)), (start, stop) == own)
            for start, stop in ((0, own[0]), own, (own[1], len(images)))
            for i in range(start, stop, tile_size)
        ]
        side = min(tile_size, len(images))
        self._squares = images.new_empty(2, side * side, dtype=self.dtype)
        self._units = images.new_empty(2, side, images.shape[1], dtype=self.dtype)

    def unit_images(self, part: _Part) -> tuple[Tensor, Tensor]:
        """A part's images, normalised, (t, D), and one over their lengths, (t, 1)."""
        return _unit_rows(self.images[part.rows], self._units[0])

    def unit_texts(self, part: _Part) -> tuple[Tensor, Tensor]:
        """The same of texts."""
        return _unit_rows(self.texts[part.rows], self._units[1])

    def row(self, part: _Part, images: Tensor) -> Iterator[tuple[_Part, Tensor, Tensor, Tensor]]:
        """The tiles beside the unit rows of ``part``: their columns' part and unit rows, the logits, a scratch tile."""
        for other in self.parts:
            if not (part.own or other.own):
                continue
            texts, _ = self.unit_texts(other)
            logits, scratch = self._squares[:, : len(images) * len(texts)].unflatten(1, (len(images), -1))  # (t, t)
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
                for other, _, logits, scratch in tiles.row(part, tiles.unit_images(part)[0]):
                    if other is part:
                        matching[part.rows] = logits.diagonal()
                    if part.own:
                        _accumulate(largest[0, part.rows], sums[0, part.rows], logits, scratch, dim=1)
                    if other.own:
                        _accumulate(largest[1, other.rows], sums[1, other.rows], logits, scratch, dim=0)
            ctx.save_for_backward(images, texts, scale, labels, largest, sums.reciprocal())
            ctx.settings = own, tile_size
            return ((largest - matching) + sums.log())[:, slice(*own)].sum() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        images, texts, scale, labels, largest, inverse_sums = ctx.saved_tensors
        with torch.autocast(images.device.type, enabled=False):
            tiles = _Tiles(images, texts, scale, labels, *ctx.settings)
            image_grad, text_grad = (torch.zeros_like(x, dtype=tiles.dtype) for x in (images, texts))
            scale_grad = torch.zeros_like(tiles.scale)
            for part in tiles.parts:
                rows, inverse = tiles.unit_images(part)
                for other, columns, logits, scratch in tiles.row(part, rows):
                    weights = _softmax_minus_target(logits, scratch, largest, inverse_sums, part, other)
                    image_grad[part.rows].addmm_(weights, columns)
                    text_grad[other.rows].addmm_(weights.T, rows)
                scale_grad += _through_normalisation(image_grad[part.rows], rows, inverse * (tiles.scale * grad / 2))
            for part in tiles.parts:
                rows, inverse = tiles.unit_texts(part)
                _through_normalisation(text_grad[part.rows], rows, inverse * (tiles.scale * grad / 2))
        scale_grad *= grad / 2
        return image_grad.to(images), text_grad.to(texts), scale_grad.to(scale), None, None, None


def _unit_rows(rows: Tensor, buffer: Tensor) -> tuple[Tensor, Tensor]:
    rows = rows.to(buffer.dtype)
    inverse = rows.norm(dim=1, keepdim=True).clamp_(min=1e-12).reciprocal_()
    return torch.mul(rows, inverse, out=buffer[: len(rows)]), inverse


def _accumulate(largest: Tensor, sums: Tensor, logits: Tensor, scratch: Tensor, dim: int) -> None:
    """Take a tile into the running maxima and sums of exponentials, (t,) each, of its rows (dim 1) or columns (0)."""
    maxima = torch.maximum(largest, logits.amax(dim))
    torch.sub(logits, maxima.unsqueeze(dim), out=scratch).exp_()
    sums.mul_((largest - maxima).exp_()).add_(scratch.sum(dim))
    largest.copy_(maxima)


def _softmax_minus_target(
    logits: Tensor, scratch: Tensor, largest: Tensor, inverse_sums: Tensor, part: _Part, other: _Part
) -> Tensor:
    """Twice the loss's gradient in a tile of logits, (t, t), in the place of ``scratch``; ``logits`` is overwritten.

    Dividing by the sum, rather than taking its logarithm from the logits, keeps the digits of 1 - p where p is near 1.
    """
    if part.own:
        torch.sub(logits, largest[0, part.rows, None], out=scratch).exp_().mul_(inverse_sums[0, part.rows, None])
    else:
        scratch.zero_()
    if other.own:
        scratch.addcmul_(logits.sub_(largest[1, other.rows]).exp_(), inverse_sums[1, other.rows])
    if other is part:
        scratch.diagonal().sub_(2)
    return scratch


def _through_normalisation(grad: Tensor, rows: Tensor, inverse: Tensor) -> Tensor:
    """Turn the gradient of unit rows into that of the rows, in place; returns the sum of its products with the rows."""
    along = torch.einsum('td,td->t', grad, rows)[:, None]
    grad.addcmul_(rows, along, value=-1).mul_(inverse)
    return along.sum()
