"""A box comes back where it is in the picture, past EXIF, resizing, padding, batches and tiles.

The network is a stand-in that sees one thing, a white rectangle, to a fraction of a pixel of its own input.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.structures import InstanceData
from PIL import Image

from fgdet.apis.detection import Detector
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.structures.vocabulary import Vocabulary

PACK = dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor'))
PIPELINES = {
    'keep ratio': [dict(type='Resize', scale=(200, 160), keep_ratio=True), PACK],
    'stretched': [dict(type='Resize', scale=(190, 170), keep_ratio=False), PACK],
    'padded': [
        dict(type='Resize', scale=(180, 180), keep_ratio=True),
        dict(type='Pad', size_divisor=32, pad_val=dict(img=(0, 0, 0))),
        PACK,
    ],
    'square': [
        dict(type='Resize', scale=(200, 200), keep_ratio=True),
        dict(type='Pad', size=(256, 256), pad_val=dict(img=(0, 0, 0))),
        PACK,
    ],
    'not resized': [PACK],
}


class SeesWhite(torch.nn.Module):
    """What mmdet's models are to a detector; ``reports`` are the boxes in pixels of the network's input."""

    def __init__(self) -> None:
        super().__init__()
        self.data_preprocessor = DetDataPreprocessor(bgr_to_rgb=True, pad_size_divisor=16)
        self.vocabulary = self.training_vocabulary = Vocabulary(['white'], base=['white'])
        self.batches: list[tuple[int, ...]] = []

    def test_step(self, data: dict[str, Any]) -> list[Any]:
        data = self.data_preprocessor(data, False)
        self.batches.append(tuple(data['inputs'].shape))
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            light = image[1].float() / 255
            boxes = torch.zeros(0, 4)
            if light.max() > 0.9:
                x1, x2 = edges(light.amax(dim=0))
                y1, y2 = edges(light.amax(dim=1))
                factor_x, factor_y = sample.metainfo.get('scale_factor', (1, 1))
                boxes = torch.tensor([[x1 / factor_x, y1 / factor_y, x2 / factor_x, y2 / factor_y]])
            scores, labels = torch.full((len(boxes),), 0.9), torch.zeros(len(boxes), dtype=torch.int64)
            sample.pred_instances = InstanceData(bboxes=boxes, scores=scores, labels=labels)
        return data['data_samples']


def edges(profile: torch.Tensor) -> tuple[float, float]:
    """Where a profile rises to light and falls again, between pixels' centres."""
    bright = torch.nonzero(profile >= 0.5)[:, 0].tolist()
    first, last = bright[0], bright[-1]
    before = float(profile[first - 1]) if first else 0.0
    after = float(profile[last + 1]) if last + 1 < len(profile) else 0.0
    rise = first if not first else first + 0.5 - (float(profile[first]) - 0.5) / (float(profile[first]) - before)
    fall = last + 1 if last + 1 == len(profile) else last + 0.5 + (float(profile[last]) - 0.5) / (
        float(profile[last]) - after
    )  # fmt: skip
    return rise, fall


def scene(seed: int) -> tuple[np.ndarray, list[int]]:
    """An upright picture of some size, and where it is white."""
    rng = np.random.default_rng(seed)
    height, width = (int(each) for each in rng.integers(130, 330, 2))
    w, h = rng.integers(12, 50, 2)
    x, y = rng.integers(0, width - w), rng.integers(0, height - h)
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + h, x : x + w] = 255
    return image, [x, y, x + w, y + h]


def stored(upright: np.ndarray, orientation: int) -> Image.Image:
    """The pixels as a camera held that way would store them."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL's transpositions: 2 and 4 are turns to the left
    image = Image.fromarray(upright)
    return image if orientation == 1 else image.transpose(Image.Transpose(undo[orientation]))


@pytest.mark.parametrize('name', PIPELINES)
def test_round_trip__sizes_and_orientations(tmp_path: Path, name: str) -> None:
    detector = Detector(SeesWhite(), PIPELINES[name])
    for seed in range(24):
        image, box = scene(seed)
        exif = Image.Exif()
        exif[0x0112] = seed % 8 + 1
        stored(image, seed % 8 + 1).save(tmp_path / 'a.png', exif=exif)
        (found,) = detector.detect(tmp_path / 'a.png')
        np.testing.assert_allclose(found.boxes, [box], atol=0.5, err_msg=str((seed, image.shape)))


@pytest.mark.parametrize('name', ['keep ratio', 'square', 'not resized'])
def test_round_trip__tiles(name: str) -> None:
    detector = Detector(SeesWhite(), PIPELINES[name], InferenceSettings(tile=128, tile_overlap=0.4, batch_size=3))
    for seed in range(12):
        image, box = scene(seed)
        (found,) = detector.detect(image)
        np.testing.assert_allclose(found.boxes, [box], atol=0.5, err_msg=str((seed, image.shape)))


def test_round_trip__a_batch_holds_images_of_one_padded_size_only() -> None:
    detector = Detector(SeesWhite(), PIPELINES['not resized'], InferenceSettings(batch_size=2))
    images = []
    for size in ((60, 70), (64, 80), (100, 70), (61, 66), (49, 80), (64, 81)):
        image = np.zeros((*size, 3), np.uint8)
        image[10:40, 5:45] = 255
        images.append(image)
    found = detector.detect_arrays(images)
    assert [each.boxes.tolist() for each in found] == [[[5, 10, 45, 40]]] * 6
    shapes = detector.model.batches
    assert [shape[0] for shape in shapes] == [2, 2, 1, 1]
    assert [shape[2:] for shape in shapes] == [(64, 80), (64, 80), (112, 80), (64, 96)]


def test_round_trip__scale_in_the_place_of_the_configs() -> None:
    detector = Detector(SeesWhite(), PIPELINES['keep ratio'], InferenceSettings(scale=320))
    image, box = scene(3)
    (found,) = detector.detect(image)
    assert max(detector.model.batches[0][2:]) == 320
    np.testing.assert_allclose(found.boxes, [box], atol=0.5)
    with pytest.raises(ValueError, match='scale: the test pipeline of this detector has no Resize'):
        Detector(SeesWhite(), PIPELINES['not resized'], InferenceSettings(scale=320))
