import math

import pytest

from fgdet.apis.comparison import comparison_lines
from fgdet.evaluation.comparison import Comparison
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.resampling import Difference
from fgdet.visualization.comparison_report import write_comparison_page
from tests.html_page import HtmlPage


@pytest.fixture
def comparison():
    columns = {'base': {'AP50': 'base_ap50', 'boxes': 'boxes'}, 'novel': {'AP50': 'novel_ap50'}}
    scores = (
        {'base_ap50': 0.5, 'novel_ap50': math.nan, 'boxes': 7},
        {'base_ap50': 0.625, 'novel_ap50': 0.1, 'boxes': 9},
    )
    runs = [Evaluation('x', 'AP of boxes', each, {'pred': '<p>.json'}, columns) for each in scores]
    unknown = (math.nan,) * 3
    differences = {
        'base_ap50': Difference(0.125, -0.02, 0.25, 0.9725),
        'novel_ap50': Difference(math.nan, *unknown),
        'boxes': Difference(2, *unknown),
    }
    classes = [
        {'name': '猫', 'group': 'base', 'num_objects': 3, 'first': 0.5, 'second': 0.0, 'difference': -0.5},
        {'name': 'dog', 'group': 'base', 'num_objects': 12, 'first': 0.0, 'second': 0.25, 'difference': 0.25},
        {'name': 'cup', 'group': 'base', 'num_objects': 1, 'first': 1.0, 'second': 1.0, 'difference': 0.0},
    ]
    return Comparison(*runs, differences, classes, 'ap50', {'a': 'a.json', 'b': 'b.json'})


def test_comparison_lines__exact(comparison):
    assert comparison_lines(comparison) == [
        'AP of boxes',
        'score           A      B  difference    95 % interval  B higher',
        'base AP50   50.00  62.50      +12.50  -2.00 to +25.00    97.2 %',
        'base boxes      7      9          +2                -         -',
        'novel AP50      -  10.00           -                -         -',
        '',
        'ap50 of the classes that changed most:',
        'class  group  objects      A      B  difference',
        '猫     base         3  50.00   0.00      -50.00',
        'dog    base        12   0.00  25.00      +25.00',
    ]
    assert len(comparison_lines(comparison, num_classes=0)) == 5


def test_write_comparison_page__numbers_and_names(comparison, tmp_path):
    write_comparison_page(tmp_path / 'page.html', comparison)
    page = HtmlPage((tmp_path / 'page.html').read_text(encoding='utf-8'))
    texts = {'+12.50', '-2.00 to +25.00', '97.2 %', '猫', '-50.00', 'a.json', '<p>.json'}
    assert texts <= set(page.texts)
    assert 'Of 3 classes, 1 went up and 1 down.' in page.texts
    comparison.classes, comparison.differences = [], {}
    write_comparison_page(tmp_path / 'page.html', comparison)
    page = HtmlPage((tmp_path / 'page.html').read_text(encoding='utf-8'))
    assert 'Runs' in page.texts
    assert 'Scores' not in page.texts
