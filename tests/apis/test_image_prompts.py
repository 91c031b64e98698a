"""An example's embedding against the same computed step by step, and what comes of a box that holds nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import roi_align

from fgdet.apis import image_prompts
from fgdet.apis.detection import Detector
from fgdet.apis.image_prompts import image_prompt
from fgdet.apis.image_reading import load_image
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.detector_builders import NAMES, write_detector, write_picture

BOX = (40.0, 20.0, 130.0, 95.0)


@pytest.fixture(scope='module')
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector.from_pretrained(checkpoint=write_detector(tmp_path_factory.mktemp('a') / 'a.pth'), device='cpu')


@pytest.fixture(scope='module')
def pixels(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return write_picture(tmp_path_factory.mktemp('b') / 'a.png', (120, 200))


@torch.no_grad()
def region(detector: Detector, pixels: np.ndarray, box: tuple[float, ...]) -> torch.Tensor:
    """The tower's unit feature of a box of a 200 x 120 image, which the pipeline makes 96 x 58 and pads to 96 x 64."""
    data = detector._pipeline(dict(img=np.ascontiguousarray(pixels[..., ::-1]), img_id=0))
    assert data['inputs'].shape[-2:] == (58, 96)
    batch = detector.model.data_preprocessor(dict(inputs=[data['inputs']], data_samples=[data['data_samples']]), False)
    assert batch['inputs'].shape[-2:] == (64, 96)
    dense = detector.model.backbone(batch['inputs'])[-1]
    scaled = torch.tensor(box) * torch.tensor([96 / 200, 58 / 120, 96 / 200, 58 / 120])
    return F.normalize(roi_align(dense, [scaled[None]], 1, 1 / 8, -1, True)[..., 0, 0], dim=1)[0]


def test_region_features__of_the_box_after_resizing_and_padding(detector: Detector, pixels: np.ndarray) -> None:
    boxes = [BOX, (0.0, 0.0, 200.0, 120.0)]
    expected = torch.stack([region(detector, pixels, box) for box in boxes])
    np.testing.assert_allclose(detector.region_features(pixels, np.array(boxes)), expected, atol=1e-5)


def test_image_prompt__alone_is_the_mix_of_trained_names_that_it_looks_like(
    detector: Detector, pixels: np.ndarray
) -> None:
    names = detector.model.class_embeddings(Vocabulary(NAMES, templates=['a photo of a {}.']))
    weights = torch.tensor([float(region(detector, pixels, BOX) @ name) / 0.07 for name in names]).exp()
    mix = sum(weight * name for weight, name in zip(weights / weights.sum(), names, strict=True))
    np.testing.assert_allclose(image_prompt(detector, pixels, BOX), F.normalize(torch.as_tensor(mix), dim=0), atol=1e-5)


def test_image_prompt__with_references_trades_the_mean_region_for_the_mean_name(
    detector: Detector, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_prompts, 'REFERENCE_SCORE', 0.0)
    write_picture(tmp_path / 'r.png', (120, 200), seed=1)
    detector.set_vocabulary(['owl'])
    found = image_prompt(detector, pixels, BOX, [tmp_path / 'r.png', pixels])
    assert detector.vocabulary.names == ('owl',)
    detector.model.set_vocabulary(NAMES)
    others = [
        region(detector, image, tuple(box.tolist()))
        for image, (each,) in ((i, detector.detect(i, 0.0)) for i in (load_image(tmp_path / 'r.png'), pixels))
        for box in each.boxes
    ]
    assert len(others) >= image_prompts.FEWEST_REGIONS
    names = detector.model.class_embeddings(Vocabulary(NAMES, templates=['a photo of a {}.']))
    expected = region(detector, pixels, BOX) - torch.stack(others).mean(0) + names.mean(0)
    np.testing.assert_allclose(found, F.normalize(expected, dim=0), atol=1e-4)
    monkeypatch.setattr(image_prompts, 'REFERENCE_SCORE', 1.0)
    with pytest.raises(UserError, match='finds 0 things in 1 reference images'):
        image_prompt(detector, pixels, BOX, [pixels])


def test_image_prompt__is_a_class_beside_names(detector: Detector, pixels: np.ndarray) -> None:
    prompt = image_prompt(detector, pixels, BOX)
    detector.set_vocabulary(Vocabulary(['this', 'owl'], image_prompts={'this': prompt}))
    assert {'this', 'owl'} >= set(detector.detect(pixels, 0.0)[0].names)
    np.testing.assert_array_equal(detector.model.class_embeddings(detector.vocabulary)[0], prompt)


@pytest.mark.parametrize(
    ('box', 'message'),
    [
        ((300, 20, 320, 40), 'less than a pixel of it is inside of the image of 200 x 120 pixels'),
        ((-20, 20, 0.5, 40), 'less than a pixel'),
        ((40, 20, 40, 60), 'expected x1 < x2 and y1 < y2, got 40, 20, 40, 60'),
        ((40, 60, 80, 20), 'expected x1 < x2'),
        ((40, 60, 80), 'expected four numbers x1, y1, x2, y2'),
        (('a', 1, 2, 3), 'expected four numbers'),
        ((0, 0, float('nan'), 3), 'expected four numbers'),
    ],
)
def test_image_prompt__refuses_a_box(detector: Detector, pixels: np.ndarray, box: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        image_prompt(detector, pixels, box)


def test_image_prompt__a_box_that_reaches_out_is_cut(detector: Detector, pixels: np.ndarray) -> None:
    inside = image_prompt(detector, pixels, (150, 60, 200, 120))
    np.testing.assert_array_equal(image_prompt(detector, pixels, (150, 60, 400, 130)), inside)
