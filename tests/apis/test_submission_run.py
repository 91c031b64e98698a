"""A small detector of mmdet's own over two images without annotations, up to the file for the server."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from mmengine.registry import DefaultScope

from fgdet.apis.submission_run import PREDICTIONS
from fgdet.cli.test import command
from fgdet.utils.checks import UserError
from tests.detector_builders import write_untrained_fcos
from tests.submission_builders import in_zip, write

INFO = 'image_info_test-dev2017.json'
ARGUMENTS = ['detector.py', 'untrained.pth', '--submit', 'coco', '--images', INFO, '--submit-out', 'a.zip']


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())
    evaluator = dict(type='fgdet.CocoFormMetric', ann_file='nowhere.json')
    write_untrained_fcos(Path('detector.py'), Path('untrained.pth'), 'nowhere.json', 'val2017/', evaluator)
    images = [{'id': i, 'file_name': f'{i}.png', 'height': 48, 'width': 64} for i in (5, 2)]
    write(Path(INFO), {'images': images, 'categories': [{'id': 7, 'name': 'thing'}]})
    Path('test2017').mkdir()
    for image in images:
        cv2.imwrite(f'test2017/{image["file_name"]}', np.zeros((48, 64, 3), np.uint8))
    return tmp_path


@pytest.mark.filterwarnings('ignore')  # mmdet's own
def test_test__submit_runs_the_images_of_the_info_file(folder):
    result = CliRunner().invoke(command, [*ARGUMENTS, '--submit-fix', '--work-dir', 'out', '--json', 'm.json'])

    assert result.exit_code == 0, result.output + repr(result.exception)
    assert 'boxes for test-dev2017' in result.stdout
    found = json.loads((folder / 'out' / PREDICTIONS).read_text())
    names, content = in_zip(folder / 'a.zip')
    assert names == ['detections_test-dev2017_fgdet_results.json']
    assert {each['image_id'] for each in content} == {2, 5} and {each['category_id'] for each in content} == {7}
    assert 0 < len(content) <= len(found)
    assert json.loads((folder / 'm.json').read_text()) == {'coco_form/num_predictions': len(found)}


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--images', 'none.json'], 'image-info file none.json: no such file'),
        (['--submit-out', 'a.json'], r'takes a name that ends in \.zip'),
        (['--cfg-options', 'test_evaluator.type=CocoMetric'], 'test_evaluator writes no COCO result list'),
    ],
)
def test_test__submit_finds_before_the_run_what_would_fail_after_it(folder, more, message):
    result = CliRunner().invoke(command, [*ARGUMENTS, *more])
    assert isinstance(result.exception, UserError), result.exception
    with pytest.raises(UserError, match=message):
        raise result.exception


def test_test__submit_needs_its_options(folder):
    assert CliRunner().invoke(command, ARGUMENTS[:4]).exit_code == 2
