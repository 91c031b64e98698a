"""A detector's normalisation against what its weights were trained to see."""

from pathlib import Path
from typing import Any

import pytest
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.registry import init_default_scope
from torch import nn

from fgdet.checkpoints.hf_fg_clip import IMAGE_MEAN, IMAGE_STD
from fgdet.models.detectors.input_check import check_input
from fgdet.registry import MODELS
from fgdet.utils.checks import UserError
from tests.builders import tiny_clip
from tests.detector_builders import detector_config

CLIP: dict[str, Any] = dict(
    mean=[255 * value for value in IMAGE_MEAN], std=[255 * value for value in IMAGE_STD], bgr_to_rgb=True
)
WANTED = dict(mean=IMAGE_MEAN, std=IMAGE_STD)


def test_check_input__passes_what_the_weights_want() -> None:
    check_input(DetDataPreprocessor(**CLIP), WANTED)
    check_input(DetDataPreprocessor(bgr_to_rgb=True), dict(mean=(0, 0, 0), std=[1 / 255] * 3))
    check_input(nn.Identity(), WANTED)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            dict(mean=[123.675, 116.28, 103.53]),
            r'mean: these weights want \[0\.4814.* set model.data_preprocessor.mean to',
        ),
        (dict(std=[58.395, 57.12, 57.375]), r'std: these weights want \[0\.268.*, got \[0\.229'),
        (dict(mean=None, std=None), r'mean: these weights want \[0\.48.*, got \[0\.0, 0\.0, 0\.0\]'),
        (dict(bgr_to_rgb=False), 'model.data_preprocessor.bgr_to_rgb: the tower wants RGB'),
    ],
)
def test_check_input__refuses_anything_else(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_input(DetDataPreprocessor(**(CLIP | change)), WANTED)


def test_init_weights__of_a_detector_looks_at_the_checkpoint(tmp_path: Path) -> None:
    init_default_scope('mmdet')
    config = detector_config().model
    clip = tiny_clip(vision=dict(config.backbone.vision))
    clip.preprocessing = clip.preprocessing._replace(mean=(0.5, 0.5, 0.5))
    clip.save_pretrained(tmp_path)
    config.backbone.checkpoint = str(tmp_path)
    detector = MODELS.build(config)
    with pytest.raises(UserError, match=r'mean: these weights want \[0\.5, 0\.5, 0\.5\], got \[0\.48'):
        detector.init_weights()
