"""The command: an ONNX file that works by the documentation's example, and what is told when it cannot."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from fgdet.apis.detection import Detector
from fgdet.cli.export import command
from fgdet.utils.checks import UserError
from tests.detector_builders import detector_config, write_detector, write_picture

EXAMPLE = Path(__file__).parents[2] / 'docs' / 'export.md'


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments])


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = detector_config()
    config.model.test_cfg.rcnn.score_thr = 0.0  # random weights; the best of all are compared
    return write_detector(tmp_path_factory.mktemp('detector') / 'detector.pth', cfg=config.pretty_text)


def test_export__the_documented_example_finds_what_the_detector_finds(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ('--checkpoint', checkpoint, '--vocab', 'owl, red mug', '--out', tmp_path / 'detector.onnx')
    result = run(*options, '--check', '2', '--json', tmp_path / 'report.json')
    assert result.exit_code == 0, result.output
    assert 'opset 18, 2 names, sides in multiples of 16 px' in result.output
    report = json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))
    assert report['checked'] == 2 and report['unmatched'] == 0 and report['box_error'] < 0.5

    (code,) = re.findall(r'<!-- tests/.*?```python\n(.*?)```', EXAMPLE.read_text(encoding='utf-8'), re.S)
    monkeypatch.chdir(tmp_path)
    detector = Detector.from_pretrained(None, checkpoint, 'cpu')
    detector.set_vocabulary(['owl', 'red mug'])
    for size_hw, padded_hw in (((24, 48), (48, 96)), ((48, 64), (80, 96))):
        pixels = write_picture(tmp_path / 'photo.png', size_hw)
        (tmp_path / 'photo.png').rename(tmp_path / 'photo.jpg')
        values: dict[str, Any] = {}
        exec(code, values)
        assert values['pixels'].shape == (*padded_hw, 3)
        (expected,) = detector.detect(pixels, 0.3)
        assert len(expected) == len(values['boxes']) > 0
        np.testing.assert_allclose(values['boxes'], expected.boxes, atol=0.01)
        np.testing.assert_array_equal(values['labels'][0][values['keep']], expected.labels)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('--checkpoint', 'no.pth', '--out', 'm.onnx'), 'checkpoint no.pth: no such file'),
        (('--checkpoint', 'state.pth', '--out', 'm.onnx'), 'checkpoint state.pth: it holds no config'),
        (('--checkpoint', 'tower.pth', '--out', 'm.onnx'), 'its model is a L1Loss'),
        (('--checkpoint', 'detector.pth', '--out', '.'), 'export .: it is a folder'),
        (('--checkpoint', 'detector.pth', '--out', 'state.pth/m.onnx'), 'state.pth is no folder'),
    ],
)
def test_export__bad_input(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'detector.pth').symlink_to(checkpoint)
    torch.save(dict(state_dict={}), tmp_path / 'state.pth')
    write_detector(tmp_path / 'tower.pth', cfg="model = dict(type='L1Loss')")
    result = run(*arguments)
    assert isinstance(result.exception, UserError) and words in str(result.exception)
    assert not (tmp_path / 'm.onnx').exists()
