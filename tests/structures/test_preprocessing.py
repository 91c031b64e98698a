"""Images made for a set of weights, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from fgdet.structures.preprocessing import Preprocessing, check_preprocessing
from fgdet.utils.checks import UserError

WANTED = Preprocessing(4, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0), 77, 248)


def test_to_pixels__hand_worked() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[1, 2] = [255, 51, 102]
    pixels = WANTED.to_pixels([image])
    assert pixels.shape == (1, 3, 4, 4) and pixels.dtype == torch.float32
    assert pixels[0, :, 1, 2].tolist() == pytest.approx([1.0, -0.2, 0.4])
    assert pixels[0, :, 0, 0].tolist() == pytest.approx([-1.0, -1.0, 0.0])


@pytest.mark.parametrize(('name', 'method'), [('bicubic', Image.Resampling.BICUBIC), ('box', Image.Resampling.BOX)])
def test_to_pixels__squashes_the_whole_image(name: str, method: Image.Resampling) -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    squashed = np.array(Image.fromarray(image).resize((4, 4), method)) / 255
    expected = (squashed - np.array(WANTED.mean)) / np.array(WANTED.std)
    pixels = WANTED._replace(interpolation=name).to_pixels([image, Image.fromarray(image)])
    for each in pixels:
        np.testing.assert_allclose(each.permute(1, 2, 0), expected, atol=1e-6)


def test_to_pixels__grey_transparent_and_no_images() -> None:
    grey = np.full((2, 3), 51, np.uint8)
    assert torch.equal(WANTED.to_pixels([grey]), WANTED.to_pixels([np.repeat(grey[..., None], 3, axis=2)]))
    clear = Image.fromarray(np.full((2, 3, 4), 51, np.uint8), 'RGBA')
    assert torch.equal(WANTED.to_pixels([clear]), WANTED.to_pixels([grey]))
    assert WANTED.to_pixels([]).shape == (0, 3, 4, 4)


@pytest.mark.parametrize('shape', [(4, 4, 1), (4, 4, 4), (4,), (1, 4, 4, 3)])
def test_to_pixels__refuses_arrays_that_are_no_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='must be uint8 of shape'):
        WANTED.to_pixels([np.zeros(shape, np.uint8)])
    with pytest.raises(ValueError, match='got float64'):
        WANTED.to_pixels([np.zeros((4, 4, 3))])


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(image_size=8), 'image_size: these weights want 4, got 8; set image_size'),
        (dict(image_size=(4, 8)), 'image_size: these weights want 4 x 4, got 4 x 8; set image_size'),
        (dict(mean=(0.5, 0.5, 0.5)), 'mean: these weights want [0.5, 0.25, 0.0], got [0.5, 0.5, 0.5]; set mean'),
        (dict(std=(1.0,)), 'std: these weights want [0.5, 0.25, 1.0], got [1.0]; set std'),
        (dict(context_length=64), 'context_length: these weights want 77, got 64; set context_length'),
        (dict(image_size=4, long_context_length=77), 'long_context_length: these weights want 248, got 77; set long_'),
    ],
)
def test_check__names_field_wanted_given_and_fix(given: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_preprocessing(WANTED, 'set {field}', **given)
    assert str(caught.value).startswith(message)


def test_check__what_fits_or_is_not_given_passes() -> None:
    check_preprocessing(WANTED, 'fix')
    rounded = (0.500001, 0.25, 0.0)  # files round the same means differently
    check_preprocessing(WANTED, 'fix', image_size=torch.zeros(1, 4, 4).shape[-2:], mean=rounded, std=WANTED.std)
