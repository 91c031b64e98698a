import math
import re

import cv2
import numpy as np
import pytest

from fgdet.apis.evaluation_report import add_intervals, score_lines, worst_class_lines, write_page
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.resampling import Interval
from fgdet.utils.checks import UserError
from tests.html_page import HtmlPage


@pytest.fixture
def evaluation():
    return Evaluation(
        name='x',
        protocol='AP of boxes',
        scores={'base_ap50': 0.57333, 'novel_ap50': math.nan, 'base_ap': 0.4, 'novel_ap': 0.05, 'classes': 48},
        inputs={'ann': 'a.json', 'split': None},
        columns={
            'base': {'AP50': 'base_ap50', 'AP': 'base_ap', 'classes': 'classes'},
            'novel': {'AP50': 'novel_ap50', 'AP': 'novel_ap'},
        },
        classes=[
            {'name': 'cat', 'group': 'base', 'num_objects': 5, 'ap50': 0.75, 'ap': 0.5},
            {'name': 'dog', 'group': 'novel', 'num_objects': 0, 'ap50': math.nan, 'ap': math.nan},
            {'name': '<b>杯</b>', 'group': 'novel', 'num_objects': 2, 'ap50': 0.25, 'ap': 0.125},
        ],
    )


class _Means:
    image_ids = np.arange(8)

    def scores(self, weights):
        return {'base_ap': float((weights * self.image_ids).sum() / 80)}


def test_score_lines__exact(evaluation):
    assert score_lines(evaluation) == [
        '        AP50     AP  classes',
        'base   57.33  40.00       48',
        'novel      -   5.00        -',
    ]
    evaluation.intervals = {'base_ap50': Interval(0.5, 0.6)}
    assert score_lines(evaluation)[1] == 'base   57.33 (50.00-60.00)  40.00       48'
    assert score_lines(evaluation, width=40) == [
        '',
        'base AP50     57.33 (50.00-60.00)',
        'base AP                     40.00',
        'base classes                   48',
        'novel AP50                      -',
        'novel AP                     5.00',
    ]


def test_worst_class_lines__known_classes_from_the_worst(evaluation):
    lines = worst_class_lines(evaluation, 5)
    assert [line.split() for line in lines] == [
        ['class', 'group', 'objects', 'ap50', 'ap'],
        ['<b>杯</b>', 'novel', '2', '25.00', '12.50'],
        ['cat', 'base', '5', '75.00', '50.00'],
    ]
    evaluation.classes = []
    assert worst_class_lines(evaluation, 5) == []


def test_add_intervals__reports_each_draw_and_needs_images(evaluation):
    with pytest.raises(UserError, match='--ci: the scores of x are of no images'):
        add_intervals(evaluation)
    evaluation.resampler = _Means()
    shares = []
    add_intervals(evaluation, 20, report=shares.append)
    assert shares == pytest.approx(np.arange(1, 21) / 20)
    low, high = evaluation.intervals['base_ap']
    assert low < 0.35 < high


def test_write_page__numbers_names_and_pictures(evaluation, tmp_path):
    def add_details():
        wrong = {'image_id': 1, 'file_name': 'sub/é.png', 'bbox': [10.0, 10.0, 20.0, 20.0], 'score': 0.9, 'name': 'cat'}
        near = {'kind': 'wrong class', 'truth': '<b>杯</b>', 'truth_bbox': [12.0, 10.0, 20.0, 20.0]}
        gone = {'image_id': 2, 'file_name': 'gone.png', 'kind': 'background', 'truth': None, 'truth_bbox': None}
        missed = {'kind': 'missed', 'score': None, 'name': None, 'truth': 'dog'}
        evaluation.mistakes = [wrong | near, wrong | gone, wrong | missed]
        evaluation.classes[0]['threshold'] = 0.375

    evaluation.add_details = add_details
    evaluation.curves = {'base': np.linspace(1, 0, 101), '<b>杯</b> (2)': np.full(101, 0.25)}
    evaluation.intervals = {'base_ap50': Interval(0.5, 0.6)}
    picture = np.full((60, 80, 3), 128, np.uint8)
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'é.png').write_bytes(cv2.imencode('.png', picture)[1].tobytes())
    write_page(tmp_path / 'page.html', evaluation, tmp_path / 'images')

    page = HtmlPage((tmp_path / 'page.html').read_text(encoding='utf-8'))
    for text in (
        '57.33',
        '50.00-60.00',
        'AP of boxes',
        '<b>杯</b>',
        '12.50',
        '0.375',
        'a.json',
        'background: cat 0.90',
    ):
        assert any(text in each for each in page.texts) == (text != 'background: cat 0.90'), text
    assert 'b' not in page.tags
    assert 'wrong class: cat 0.90; it is <b>杯</b>' in page.texts
    assert 'missed: dog' in page.texts
    assert any(each.startswith('1 of 3 pictures are missing: image ') and 'gone.png' in each for each in page.texts)
    kinds = [
        re.match('data:image/(png|jpeg);base64,', value).group(1) for key, value in page.attributes if key == 'src'
    ]
    assert sorted(kinds) == ['jpeg', 'jpeg', 'png', 'png', 'png']  # two crops; groups, classes, sorted classes
    assert not {'script', 'link', 'a'} & set(page.tags)


def test_write_page__scores_alone(tmp_path):
    scores = {'top1': math.nan, 'threshold': math.nan}
    evaluation = Evaluation('y', 'nothing at all', scores, {}, {'': {'top-1': 'top1'}})
    write_page(tmp_path / 'page.html', evaluation)
    page = HtmlPage((tmp_path / 'page.html').read_text(encoding='utf-8'))
    assert [text for text in page.texts if text in ('Scores', 'Classes', 'Mistakes', 'Precision and recall')] == [
        'Scores'
    ]
    assert 'nothing at all' in page.texts and page.texts.count('-') == 2 and 'nan' not in page.texts
    with pytest.raises(UserError, match='--images none: no such folder'):
        write_page(tmp_path / 'page.html', evaluation, 'none')


def test_write_page__other_protocols(tmp_path):
    """Mistakes of whole images, and the bins of a calibration."""
    scores = {'top1': 0.5, 'rest': 0.25, 'threshold': 0.125}
    evaluation = Evaluation('z', 'p', scores, {}, {'': {'top-1': 'top1'}})
    evaluation.mistakes = [
        {'image_id': 3, 'file_name': 'a.png', 'score': 0.75, 'name': 'cat', 'truth': 'dog', 'kind': 'wrong class'}
    ]
    bins = [(0.0, 0.5, 0.0, math.nan, math.nan), (0.5, 1.0, 8.0, 0.75, 0.625)]
    fields = ('low', 'high', 'num_detections', 'confidence', 'accuracy')
    evaluation.details = {'bins': [dict(zip(fields, each, strict=True)) for each in bins]}
    (tmp_path / 'a.png').write_bytes(cv2.imencode('.png', np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    write_page(tmp_path / 'page.html', evaluation, tmp_path)
    page = HtmlPage((tmp_path / 'page.html').read_text(encoding='utf-8'))
    assert {'1 of the most confident mistakes.', 'wrong class: cat 0.75; it is dog'} <= set(page.texts)
    assert {'0.50-1.00', '62.50'} <= set(page.texts)
    assert {'25.00', '0.125'} <= set(page.texts)  # a limit of scores is no percentage
    assert sum(key == 'src' for key, _ in page.attributes) == 2
