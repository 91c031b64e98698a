"""One object from checkpoint to boxes: frames of reference, accepted forms, clear refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from PIL import Image

from fgdet import Detector
from fgdet.apis.detection import load_image
from fgdet.structures.detections import Detections
from fgdet.utils.checks import UserError
from tests.detector_builders import NAMES, detector_config, write_detector, write_picture


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector(tmp_path_factory.mktemp('detector') / 'detector.pth')


@pytest.fixture
def detector(checkpoint: Path) -> Detector:
    return Detector.from_pretrained(checkpoint=checkpoint, device='cpu')


def assert_same(first: Detections, second: Detections) -> None:
    assert first.names == second.names
    np.testing.assert_array_equal(first.boxes, second.boxes)
    np.testing.assert_array_equal(first.scores, second.scores)


def test_detect__path_array_and_pil_are_one_image(detector: Detector, tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'a.png')
    (expected,) = detector.detect(tmp_path / 'a.png', score_threshold=0.0)
    assert len(expected) > 0
    for image in (str(tmp_path / 'a.png'), pixels, Image.fromarray(pixels), [pixels]):
        (found,) = detector.detect(image, score_threshold=0.0)
        assert_same(found, expected)


def test_detect__red_is_not_blue(detector: Detector, tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'a.png')
    (expected,), (swapped,) = (detector.detect(image, 0.0) for image in (pixels, pixels[..., ::-1]))
    assert not np.array_equal(expected.scores, swapped.scores)


def test_detect__an_image_does_not_depend_on_the_others(detector: Detector, tmp_path: Path) -> None:
    small, large = write_picture(tmp_path / 'a.png', (40, 40)), write_picture(tmp_path / 'b.png', (90, 120), seed=1)
    together = detector.detect([small, large], score_threshold=0.0)
    for image, expected in zip((small, large), together, strict=True):
        assert_same(detector.detect(image, score_threshold=0.0)[0], expected)


def test_detect__threshold_and_order(detector: Detector, tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'a.png')
    (everything,) = detector.detect(pixels, score_threshold=0.0)
    threshold = float(np.median(everything.scores))
    (strong,) = detector.detect(pixels, score_threshold=threshold)
    assert np.all(np.diff(everything.scores) <= 0)
    np.testing.assert_array_equal(strong.scores, everything.scores[everything.scores >= threshold])
    assert detector.detect([]) == []


@pytest.mark.parametrize('size_hw', [(96, 96), (60, 150), (33, 20), (200, 100)])
def test_detect__boxes_are_in_pixels_of_the_original(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, size_hw: tuple[int, int]
) -> None:
    """A box that the network sees must come back where it was in the image, past resizing and padding."""
    height, width = size_hw
    expected = np.array([[0.25 * width, 0.5 * height, 0.75 * width, 1.0 * height]])
    seen: dict[str, Any] = {}

    def proposals(pyramid: Any, samples: list[Any], rescale: bool) -> list[InstanceData]:
        seen['shape'], seen['padded'] = samples[0].img_shape, samples[0].batch_input_shape
        in_network = expected * np.tile(np.array(samples[0].img_shape[::-1]) / [width, height], 2)
        return [InstanceData(bboxes=torch.tensor(in_network, dtype=torch.float32))]

    monkeypatch.setattr(detector.model.rpn_head, 'predict', proposals)
    head = detector.model.roi_head
    monkeypatch.setattr(head.bbox_head, 'decode', lambda rois, deltas, metas: [roi[:, 1:] for roi in rois])
    head.test_cfg.score_thr = -1.0
    (found,) = detector.detect(np.zeros((height, width, 3), np.uint8), score_threshold=0.0)
    assert max(seen['shape']) == 96 and all(side % 16 == 0 for side in seen['padded'])
    np.testing.assert_allclose(found.boxes, np.tile(expected, (len(NAMES), 1)), atol=1e-3)


def test_set_vocabulary__new_names(detector: Detector, tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'a.png')
    assert detector.vocabulary.names == tuple(NAMES)
    detector.set_vocabulary(['striped owl'])
    (found,) = detector.detect(pixels, score_threshold=0.0)
    assert set(found.names) == {'striped owl'}
    assert set(found.labels) == {0}
    with pytest.raises(UserError, match='names'):
        detector.set_vocabulary('cat')


def test_load_image__sets_a_turned_photograph_upright(tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'a.png', (40, 64))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it right
    Image.fromarray(pixels).save(tmp_path / 'turned.png', exif=exif)
    Image.fromarray(pixels).save(tmp_path / 'turned.jpg', exif=exif, quality=100, subsampling=0)
    upright = np.rot90(pixels, -1)
    np.testing.assert_array_equal(load_image(Image.open(tmp_path / 'turned.png')), upright)
    assert np.abs(load_image(tmp_path / 'turned.jpg').astype(int) - upright).max() < 16


def test_load_image__grey_and_transparent_pictures(tmp_path: Path) -> None:
    Image.new('L', (8, 6), 77).save(tmp_path / 'grey.png')
    Image.new('RGBA', (8, 6), (1, 2, 3, 255)).save(tmp_path / 'clear.png')
    for name, colour in (('grey.png', (77, 77, 77)), ('clear.png', (1, 2, 3))):
        for image in (tmp_path / name, Image.open(tmp_path / name)):
            np.testing.assert_array_equal(load_image(image), np.full((6, 8, 3), colour))


@pytest.mark.parametrize(
    'image', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((3, 4, 5), np.uint8), None]
)
def test_load_image__refuses_other_arrays(image: Any) -> None:
    with pytest.raises(ValueError, match=r'expected a path, a PIL image or an \(H, W, 3\) uint8 RGB array, got'):
        load_image(image)


def test_detect__refuses_a_threshold_in_percent(detector: Detector) -> None:
    with pytest.raises(ValueError, match=r'score_threshold: expected 0..1, got 30'):
        detector.detect([], score_threshold=30)


def test_load_image__refuses_a_path_without_an_image(tmp_path: Path) -> None:
    (tmp_path / 'text.jpg').write_text('hello')
    (tmp_path / 'empty.jpg').write_bytes(b'')
    for name in ('text.jpg', 'empty.jpg'):
        with pytest.raises(UserError, match=rf'{name}: it cannot be read as an image'):
            load_image(tmp_path / name)
    with pytest.raises(UserError, match='no such file'):
        load_image(tmp_path / 'none.jpg')


def test_from_pretrained__config_beside_the_stored_one(checkpoint: Path, tmp_path: Path) -> None:
    config = detector_config()
    config.model.test_cfg.rcnn.max_per_img = 1
    config.dump(tmp_path / 'config.py')
    pixels = write_picture(tmp_path / 'a.png')
    for given in (config, tmp_path / 'config.py', str(tmp_path / 'config.py')):
        assert len(Detector.from_pretrained(given, checkpoint, device='cpu').detect(pixels, 0.0)[0]) == 1


@pytest.mark.parametrize(
    ('meta', 'message'),
    [
        (dict(cfg=''), 'it holds no config'),
        (dict(cfg='import os'), r'holds more than values \(line 1\)'),
        (dict(cfg="model = dict(type='fgdet.VisionTransformer')"), 'its model is a VisionTransformer'),
        (
            dict(cfg=detector_config().pretty_text.replace('fc_out_channels=16', 'fc_out_channels=24')),
            'weights do not fit the config .*size mismatch',
        ),
        (dict(cfg=detector_config().pretty_text.split('test_dataloader')[0]), 'no test_dataloader.dataset.pipeline'),
        (dict(cfg='a = 1'), 'it has no model'),
        (dict(cfg="model = dict(type='Nothing')"), 'cannot be built .*Nothing is not in the'),
    ],
)
def test_from_pretrained__refuses_a_config_that_does_not_fit(tmp_path: Path, meta: dict, message: str) -> None:
    path = write_detector(tmp_path / 'detector.pth', **meta)
    with pytest.raises(UserError, match=message):
        Detector.from_pretrained(checkpoint=path)


def test_from_pretrained__refuses_missing_and_damaged_files(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / 'damaged.pth').write_bytes(checkpoint.read_bytes()[:1000])
    for config, path, message in (
        (None, None, 'checkpoint: none given'),
        (None, tmp_path / 'none.pth', 'none.pth: no such file'),
        (None, tmp_path / 'damaged.pth', 'cannot be read as weights'),
        (tmp_path / 'none.py', checkpoint, 'config .*no such file'),
        (tmp_path / 'damaged.pth', checkpoint, 'config .*damaged.pth: '),
    ):
        with pytest.raises(UserError, match=message):
            Detector.from_pretrained(config, path)


def test_from_pretrained__refuses_an_unknown_device(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="device 'gpu': torch knows no such device"):
        Detector.from_pretrained(checkpoint=checkpoint, device='gpu')


def test_detect__refuses_an_image_without_room_for_a_pixel(detector: Detector) -> None:
    with pytest.raises(UserError, match='3000 x 2 pixels: too narrow'):
        detector.detect(np.zeros((2, 3000, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r'got \(0, 5, 3\) uint8'):
        detector.detect(np.zeros((0, 5, 3), dtype=np.uint8))


def test_from_pretrained__refuses_a_device_that_computes_nothing(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="device 'meta': torch cannot compute on it"):
        Detector.from_pretrained(checkpoint=checkpoint, device='meta')
