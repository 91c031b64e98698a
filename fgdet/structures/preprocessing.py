"""How images and texts must be prepared for a set of weights; it travels with them.

Axes: B images, S side of the square image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fgdet.utils.checks import UserError

#: Ways to resize by name, as Pillow numbers them and ``preprocessor_config.json`` writes them.
INTERPOLATIONS = {'nearest': 0, 'lanczos': 1, 'bilinear': 2, 'bicubic': 3, 'box': 4, 'hamming': 5}
# Published files round the same means to 6 or 8 digits.
_TOLERANCE = 1e-5


class Preprocessing(NamedTuple):
    """What a set of weights was trained to see.

    Whole images are squashed to the square, as FG-CLIP does: the centre crop of CLIP's own code would lose regions.
    """

    image_size: int  # side S in pixels
    mean: tuple[float, ...]  # of RGB in 0..1
    std: tuple[float, ...]
    context_length: int  # tokens of a short text
    long_context_length: int
    interpolation: str = 'bicubic'

    def to_pixels(self, images: Sequence[Image.Image | np.ndarray]) -> Tensor:
        """Resize and normalise images of any sizes.

        Args:
            images: B Pillow images, or arrays (H, W, 3) or (H, W), uint8, RGB or grey.

        Returns:
            (B, 3, S, S) float32; a box in pixels of an image scales with it, x by S / W and y by S / H.

        Raises:
            ValueError: an array has another shape or type.
        """
        rows = [torch.from_numpy(np.array(self.squash(image))) for image in images]
        side = self.image_size
        pixels = torch.stack(rows) if rows else torch.zeros(0, side, side, 3)
        return self.normalize(pixels.permute(0, 3, 1, 2).float() / 255)

    def normalize(self, pixels: Tensor) -> Tensor:
        """(..., 3, H, W) in 0..1 -> ``(x - mean) / std``."""
        mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std

    def squash(self, image: Image.Image | np.ndarray) -> Image.Image:
        """One image at S x S in RGB, the first half of :meth:`to_pixels`, which leaves its result as it is."""
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.shape[2:] not in {(), (3,)} or image.ndim < 2:
                raise ValueError(
                    f'image: an array must be uint8 of shape (H, W, 3) or (H, W), got {image.dtype} {image.shape}'
                )
            image = Image.fromarray(image)
        image = image.convert('RGB')
        size = (self.image_size, self.image_size)
        method = Image.Resampling(INTERPOLATIONS[self.interpolation])
        return image if image.size == size else image.resize(size, method)


def check_preprocessing(
    wanted: Preprocessing,
    fix: str,
    *,
    image_size: int | Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    context_length: int | None = None,
    long_context_length: int | None = None,
) -> None:
    """Refuse what the weights were not trained to see; what is not given is not looked at.

    Args:
        wanted: what travels with the weights, ``model.preprocessing``.
        fix: how the error says to mend or to override it; ``{field}`` stands for the field's name.
        image_size: side in pixels, or (h, w).
        mean: of RGB in 0..1.
        std: of RGB in 0..1.
        context_length: tokens of a short text.
        long_context_length: tokens of a long text.

    Raises:
        UserError: a field differs; it is named with what the weights want and what was given.
    """
    given = dict(
        image_size=image_size,
        mean=mean,
        std=std,
        context_length=context_length,
        long_context_length=long_context_length,
    )
    for name, value in given.items():
        if value is None:
            continue
        want, got = (_numbers(each) for each in (getattr(wanted, name), value))
        if name == 'image_size' and len(got) == 2:
            want = want * 2
        close = len(want) == len(got) and np.allclose(want, got, rtol=0, atol=_TOLERANCE)
        if not close:
            raise UserError(f'{name}: these weights want {_shown(want)}, got {_shown(got)}; {fix.format(field=name)}')


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)


def _shown(numbers: tuple[float, ...]) -> str:
    return ' x '.join(map(str, numbers)) if all(isinstance(n, int) for n in numbers) else str(list(numbers))
