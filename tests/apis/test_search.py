"""What the options of the command make, and which of them do not go together."""

import json
from pathlib import Path

import numpy as np
import pytest

from fgdet.apis.detection import Detector
from fgdet.apis.fusion import RegionFusionDetector
from fgdet.apis.image_prompts import image_prompt
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.apis.search import SearchOptions, build_detector
from fgdet.utils.checks import UserError
from tests.builders import write_small_clip
from tests.detector_builders import NAMES, write_detector, write_picture


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_detector(tmp_path_factory.mktemp('detector') / 'detector.pth'))


def test_build__settings_and_words(checkpoint: str) -> None:
    options = SearchOptions(
        checkpoint, vocab='owl=0.6', device='cpu', batch_size=3, tile=64, nms='agnostic', nms_iou=0.3, max_per_image=9,
        scale=80, tile_overlap=0.5,
    )  # fmt: skip
    detector = build_detector(options)
    assert isinstance(detector, Detector)
    assert detector.settings == InferenceSettings(3, 'agnostic', 0.3, 9, 64, 0.5, 80)
    assert detector.vocabulary.names == ('owl',) and detector.vocabulary.negatives == tuple(NAMES)
    assert detector.vocabulary.threshold_of('owl', 0.1) == 0.6
    assert build_detector(options._replace(no_compete=True)).vocabulary.negatives == ()


def test_build__examples_beside_words_and_alone(checkpoint: str, tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'ref.png', (80, 90))
    options = SearchOptions(
        checkpoint, device='cpu', prompt_image=(str(tmp_path / 'ref.png'),), prompt_box=('5,6,40,50',)
    )
    detector = build_detector(options)
    assert detector.vocabulary.names == ('ref',) and detector.vocabulary.negatives == ()
    expected = image_prompt(detector, pixels, [5, 6, 40, 50])
    np.testing.assert_allclose(detector.vocabulary.image_prompts['ref'], expected, atol=1e-6)
    both = build_detector(options._replace(vocab='owl', prompt_name=('my mug',)))
    assert both.vocabulary.names == ('owl', 'my mug') and set(both.vocabulary.image_prompts) == {'my mug'}
    assert len(both.detect(pixels, 0.0)[0]) > 0


def test_build__boxes_from_a_file(tmp_path: Path) -> None:
    write_small_clip(tmp_path / 'clip')
    pixels = write_picture(tmp_path / 'a.png', (60, 80))
    content = dict(
        images=[dict(id=1, file_name='a.png', width=80, height=60)],
        categories=[],
        annotations=[dict(image_id=1, bbox=[10, 10, 30, 40], score=0.9)],
    )
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    options = SearchOptions(
        str(tmp_path / 'clip'), vocab='owl, mug', proposals=str(tmp_path / 'boxes.json'), proposals_alpha=0.25,
        proposals_temperature=0.1, scale=64, nms_iou=0.7, max_per_image=5, device='cpu',
    )  # fmt: skip
    detector = build_detector(options)
    assert isinstance(detector, RegionFusionDetector)
    assert detector.settings[:3] == (64, 0.25, 0.1) and detector.settings[4:] == (0.7, 5)
    found = detector.detect_array(pixels, 0.0, str(tmp_path / 'a.png'))
    np.testing.assert_allclose(found.boxes, [[10, 10, 40, 50]])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(checkpoint='.'), 'checkpoint .: a folder holds FG-CLIP weights and no detector'),
        (dict(proposals_alpha=0.3), '--proposals-alpha: it means nothing without --proposals'),
        (dict(proposals='a.json', tile=64), '--tile: it means nothing with --proposals'),
        (dict(proposals='a.json', batch_size=2), '--batch-size: it means nothing with --proposals'),
        (dict(proposals='a.py'), '--proposals a.py: expected a .json file'),
        (dict(proposals='a.json', proposals_checkpoint='b.pth'), '--proposals a.json: expected a .json file'),
        (dict(proposals='none.json'), 'none.json: no such file'),
        (dict(prompt_image=('a.png',)), 'expected a box for each image, got 1 --prompt-image and 0 --prompt-box'),
        (dict(prompt_image=('a.png',), prompt_box=('1,2,x,4',)), '--prompt-box 1,2,x,4: expected four numbers'),
        (dict(prompt_image=('a.png',), prompt_box=('1,2,3,4',)), 'image a.png: no such file'),
        (
            dict(prompt_image=('a/m.png', 'b/m.png'), prompt_box=('1,2,3,4',) * 2),
            '--prompt-name: expected one for each of 2 prompt images, all different, got m, m',
        ),
    ],
)
def test_build__refused(checkpoint: str, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_detector(SearchOptions(checkpoint, device='cpu')._replace(**changes))
