"""A small detector of mmdet's own over two images without annotations, up to the file for the server."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from fgdet.apis.submission_run import PREDICTIONS
from fgdet.cli.test import command
from fgdet.utils.checks import UserError
from fgdet.utils.imports import import_quietly
from tests.submission_builders import in_zip, write

CONFIG = """
_base_ = [{runtime!r}]
log_level = 'WARNING'
convolutions = dict(num_classes=1, in_channels=8, feat_channels=8, stacked_convs=1, norm_cfg=None)
model = dict(
    type='FCOS',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=18, base_channels=8, out_indices=(3,)),
    neck=dict(type='FPN', in_channels=[64], out_channels=8, num_outs=1),
    bbox_head=dict(type='FCOSHead', strides=[32], regress_ranges=((-1, 1e8),), **convolutions),
    test_cfg=dict(nms_pre=9, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=9),
)
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type='CocoDataset',
        ann_file='nowhere.json',
        metainfo=dict(classes=('thing',)),
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64)),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ],
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = dict(type='fgdet.CocoFormMetric', ann_file='nowhere.json')
test_cfg = dict()
"""
INFO = 'image_info_test-dev2017.json'
ARGUMENTS = ['detector.py', 'untrained.pth', '--submit', 'coco', '--images', INFO, '--submit-out', 'a.zip']


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())
    runtime = str(Path(__file__).parents[2] / 'configs/_base_/detection_runtime.py')
    Path('detector.py').write_text(CONFIG.format(runtime=runtime), encoding='utf-8')
    images = [{'id': i, 'file_name': f'{i}.png', 'height': 48, 'width': 64} for i in (5, 2)]
    write(Path(INFO), {'images': images, 'categories': [{'id': 7, 'name': 'thing'}]})
    Path('test2017').mkdir()
    for image in images:
        cv2.imwrite(f'test2017/{image["file_name"]}', np.zeros((48, 64, 3), np.uint8))
    return tmp_path


@pytest.mark.filterwarnings('ignore')  # mmdet's own
def test_test__submit_runs_the_images_of_the_info_file(folder):
    import_quietly('mmdet.models')
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(Config.fromfile('detector.py').model)
    torch.save({'state_dict': detector.state_dict()}, 'untrained.pth')

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
