"""One object from checkpoint to boxes: frames of reference, accepted forms, clear refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from PIL import Image

from fgdet import Detector, Vocabulary
from fgdet.apis import detection
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.registry import MODELS
from fgdet.structures.detections import Detections
from fgdet.utils.checks import UserError
from tests.detector_builders import NAMES, detector_config, tiny_detector, write_detector, write_picture


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector(tmp_path_factory.mktemp('detector') / 'detector.pth')


@pytest.fixture
def detector(checkpoint: Path) -> Detector:
    return Detector.from_pretrained(checkpoint=checkpoint, device='cpu')


def tiny_mask_detector() -> Detector:
    """A random detector whose masks fill their boxes."""
    config = detector_config()
    extractor = dict(config.model.roi_head.bbox_roi_extractor, roi_layer=dict(output_size=7))
    loss = dict(type='CrossEntropyLoss', use_mask=True)
    head = dict(
        type='FCNMaskHead', class_agnostic=True, num_convs=1, in_channels=16, conv_out_channels=16, loss_mask=loss
    )
    config.model.roi_head.update(mask_roi_extractor=extractor, mask_head=head)
    config.model.test_cfg.rcnn.update(mask_thr_binary=0.5)
    torch.manual_seed(0)
    init_default_scope('mmdet')
    model = MODELS.build(config.model)
    torch.nn.init.constant_(model.roi_head.mask_head.conv_logits.bias, 9.0)
    return Detector(model, config.test_dataloader.dataset.pipeline[1:])


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
    with pytest.raises(UserError, match='expected a list'):
        detector.set_vocabulary('cat')


def test_detect__refuses_a_threshold_in_percent(detector: Detector) -> None:
    with pytest.raises(ValueError, match=r'score_threshold: expected 0..1, got 30'):
        detector.detect([], score_threshold=30)


def test_detect__batches_change_nothing(detector: Detector) -> None:
    """Images of three sizes, two of which are padded to one."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((64, 96), (96, 64), (62, 96), (64, 96))]
    one_by_one = detector.detect(images, score_threshold=0.0)
    detector.settings = InferenceSettings(batch_size=4)
    for together, alone in zip(detector.detect(images, score_threshold=0.0), one_by_one, strict=True):
        assert together.names == alone.names
        np.testing.assert_allclose(together.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-5)


def worst_overlap(found: Detections, same_name: bool) -> float:
    """Largest intersection over union of two boxes, of one name or of any."""
    worst = 0.0
    for i in range(len(found)):
        for j in range(i):
            if same_name and found.labels[i] != found.labels[j]:
                continue
            one, other = found.boxes[i].astype(float), found.boxes[j].astype(float)
            sides = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0)
            both = sides.prod()
            worst = max(worst, both / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - both))
    return worst


def test_settings__suppression_within_or_across_names(detector: Detector, tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'a.png')
    own = detector.detect(pixels, 0.0)[0]
    assert worst_overlap(own, same_name=True) <= 0.5 < worst_overlap(own, same_name=False)
    detector.settings = InferenceSettings(nms='agnostic')
    assert worst_overlap(detector.detect(pixels, 0.0)[0], same_name=False) <= 0.5
    detector.settings = InferenceSettings(nms='class', nms_iou=0.2, max_per_image=7)
    few = detector.detect(pixels, 0.0)[0]
    assert len(few) == 7 and worst_overlap(few, same_name=True) <= 0.2
    detector.settings = InferenceSettings()  # and back
    assert_same(detector.detect(pixels, 0.0)[0], own)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(nms='soft'), "nms: expected 'class' or 'agnostic', got 'soft'"),
        (dict(batch_size=0), 'batch_size: expected 1 or more, got 0'),
        (dict(tile=8), 'tile: expected 32 or more'),
        (dict(nms_iou=1.5), 'nms_iou: expected 0..1'),
        (dict(tile_overlap=0.0), 'tile_overlap: expected 0.05 to 0.9'),
    ],
)
def test_settings__refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        InferenceSettings(**settings)


def test_detect__names_keep_their_own_thresholds(detector: Detector, tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'a.png')
    detector.set_vocabulary(Vocabulary(NAMES))
    (everything,) = detector.detect(pixels, 0.0)
    of_cat = np.sort(everything.scores[everything.labels == 0])
    detector.set_vocabulary(Vocabulary(NAMES, thresholds={'cat': float(of_cat[-2]), 'dog': 1.0}))
    (found,) = detector.detect(pixels, 0.0)
    names = np.array(found.names)
    assert (names == 'cat').sum() == 2 and 'dog' not in names
    assert (names == 'tree').sum() == (np.array(everything.names) == 'tree').sum()


def test_detect__calibration_of_the_config(checkpoint: Path, tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'a.png')
    config = detector_config()
    plain = Detector.from_pretrained(config, checkpoint, 'cpu').detect(pixels, 0.0)[0]
    config.calibration = dict(scale=2.0, bias=1.0)
    calibrated = Detector.from_pretrained(config, checkpoint, 'cpu').detect(pixels, 0.0)[0]
    logits = np.log(plain.scores / (1 - plain.scores))
    np.testing.assert_allclose(calibrated.scores, 1 / (1 + np.exp(-2 * logits - 1)), rtol=1e-4)
    np.testing.assert_array_equal(calibrated.boxes, plain.boxes)


def test_detect__trained_names_compete_with_other_ones(detector: Detector) -> None:
    detector.set_vocabulary(['striped owl', 'old cat'])
    assert detector.vocabulary.negatives == ('red mug', 'dog', 'tree')
    for given in (Vocabulary(['striped owl'], negatives=[]), Vocabulary(['striped owl'], negatives=['dog'])):
        detector.set_vocabulary(given)
        assert detector.vocabulary.negatives == given.negatives
    detector.settings = InferenceSettings(compete=False)
    detector.set_vocabulary(['striped owl'])
    assert detector.vocabulary.negatives == ()


def sees_dogs_everywhere() -> Detector:
    """Every region, for the trained head and for the frozen tower, is a dog; each word has a direction of its own."""
    model = tiny_detector()
    words = {word: torch.eye(16)[index] for index, word in enumerate([*NAMES, 'unicorn', 'red fire engine'])}
    classifier = model.roi_head.bbox_head.fc_cls
    with torch.no_grad():
        classifier.projection.weight.zero_()
        classifier.projection.bias.copy_(words['dog'])
        classifier.background_embedding.copy_(torch.eye(16)[15])

    def one_direction(vocabulary: Vocabulary) -> torch.Tensor:
        return torch.stack([words[word] for word in (*vocabulary.names, *vocabulary.negatives)])

    def dogs(module: torch.nn.Module, inputs: Any, outputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (*outputs[:-1], torch.zeros_like(outputs[-1]) + words['dog'][:, None, None])

    model.class_embeddings.forward = one_direction
    model.backbone.register_forward_hook(dogs)
    return Detector(model, detector_config().test_dataloader.dataset.pipeline[1:])


def test_detect__absent_names_are_not_found(tmp_path: Path) -> None:
    """At the default threshold; without competition a name that is asked for alone takes what is something else."""
    detector, pixels = sees_dogs_everywhere(), write_picture(tmp_path / 'a.png')
    for names, found in ((['unicorn'], 0), (['unicorn', 'red fire engine'], 0), (['dog'], 1), (['unicorn', 'dog'], 1)):
        detector.set_vocabulary(names)
        assert set(detector.detect(pixels)[0].names) == ({'dog'} if found else set()), names
    detector.settings = InferenceSettings(compete=False)
    detector.set_vocabulary(['unicorn'])
    assert len(detector.detect(pixels)[0]) > 0


def test_detect__masks_of_a_large_image_are_those_of_a_small_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whole masks, masks made on a smaller frame and masks in tiles: the same boxes, nearly the same pixels."""
    detector = tiny_mask_detector()
    pixels = write_picture(tmp_path / 'a.png', (120, 200))
    (whole,) = detector.detect(pixels, 0.0)
    assert isinstance(whole.masks, np.ndarray) and whole.masks.shape == (len(whole), 120, 200) and len(whole) > 3
    monkeypatch.setattr(detection, 'MAX_MASK_PIXELS', 60 * 100)
    (framed,) = detector.detect(pixels, 0.0)
    np.testing.assert_allclose(framed.boxes, whole.boxes, atol=1e-3)
    both, either = np.asarray(framed.masks) & whole.masks, np.asarray(framed.masks) | whole.masks
    large = whole.masks.sum(axis=(1, 2)) > 1000
    assert large.any() and (both.sum(axis=(1, 2)) / either.sum(axis=(1, 2)))[large].min() > 0.85
    detector.settings = InferenceSettings(tile=96)
    (tiled,) = detector.detect(pixels, 0.0)
    for box, mask in zip(tiled.boxes, np.asarray(tiled.masks), strict=True):
        rows, columns = np.nonzero(mask)
        if len(rows):
            assert box[0] - 2 <= columns.min() and columns.max() <= box[2] + 2
            assert box[1] - 2 <= rows.min() and rows.max() <= box[3] + 2


@pytest.mark.parametrize('error', [torch.OutOfMemoryError('CUDA out of memory'), MemoryError()])
def test_detect__no_memory_names_the_options_that_need_less(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(data: dict) -> None:
        raise error

    monkeypatch.setattr(detector.model, 'test_step', fail)
    with pytest.raises(
        UserError, match=r'out of memory on 1 images of 96 x 48 pixels; .*--batch-size.*--scale.*--tile'
    ):
        detector.detect(np.zeros((40, 80, 3), np.uint8))


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
        (
            dict(cfg=detector_config().pretty_text.replace('keep_ratio=True', 'kep_ratio=True')),
            "pipeline cannot be built .*'kep_ratio'",
        ),
        (
            dict(cfg=detector_config().pretty_text.replace('class_embeddings=dict(', 'class_embedings=dict(')),
            "model cannot be built .*'class_embedings'",
        ),
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
