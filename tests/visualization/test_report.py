import base64
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image

from fgdet.visualization.report import Bars, Figure, LinePlot, Section, Table, write_report
from tests.html_page import HtmlPage


def _write(tmp_path, *blocks, title='t'):
    path = write_report(tmp_path / 'out' / 'report.html', title, [Section('s', blocks)])
    return path.read_text(encoding='utf-8')


def _images(page):
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in re.findall(r'base64,([^"]+)', page)]


def test_write_report__escapes_all_text(tmp_path):
    evil = '<script>alert("1")</script> & \'x\''
    image = np.zeros((4, 4, 3), np.uint8)
    page = _write(tmp_path, evil, Table([{evil: evil}], evil), Figure(image, evil), title=evil)
    parsed = HtmlPage(page)
    assert 'script' not in parsed.tags
    assert sum(text == evil for text in parsed.texts) == 7  # title twice, paragraph, head, cell, two captions
    assert ('alt', evil) in parsed.attributes


def test_write_report__needs_nothing_from_outside(tmp_path):
    curve = LinePlot({'loss': ([0, 1], [2.0, 1.0])})
    page = _write(tmp_path, 'text', Figure(np.zeros((4, 4), np.uint8)), curve)
    parsed = HtmlPage(page)
    assert 'http' not in page
    assert not {'link', 'script', 'a', 'iframe'} & set(parsed.tags)
    assert all(value.startswith('data:image/png;base64,') for key, value in parsed.attributes if key == 'src')
    assert [entry.name for entry in (tmp_path / 'out').iterdir()] == ['report.html']


def test_write_report__images_come_back_exactly(tmp_path):
    rng = np.random.default_rng(0)
    color, grey = rng.integers(0, 255, (9, 7, 3), np.uint8), rng.integers(0, 255, (5, 6), np.uint8)
    found = _images(_write(tmp_path, Figure(color), Figure(grey)))
    np.testing.assert_array_equal(found[0], color)
    np.testing.assert_array_equal(found[1], grey)


def test_write_report__pictures_in_a_row_share_a_line(tmp_path):
    picture = Figure(np.zeros((4, 4), np.uint8))
    page = _write(tmp_path, picture, picture, 'between', picture)
    assert [line.count('<figure ') for line in page.split('<div class="figures">')[1:]] == [2, 1]
    assert page.index('between') < page.rindex('<div class="figures">')


def test_table__columns_numbers_and_gaps(tmp_path):
    rows = [
        {'class': 'base', 'AP': 0.573254, 'n': np.int64(48)},
        {'class': 'novel', 'AP': float('nan'), 'n': None, 'ok': True},
        {'class': None, 'AP': float('inf')},
    ]
    page = _write(tmp_path, Table(rows))
    texts = [text for text in HtmlPage(page).texts if text.strip()]
    dash = '\u2013'
    table = [
        'class',
        'AP',
        'n',
        'ok',
        'base',
        '0.5733',
        '48',
        dash,
        'novel',
        dash,
        dash,
        'True',
        dash,
        'inf',
        dash,
        dash,
    ]
    assert texts[-len(table) :] == table
    assert page.count('<th class="number">') == 2


def test_table__empty(tmp_path):
    assert 'tbody' in HtmlPage(_write(tmp_path, Table([]))).tags


def test_line_plot__draws_every_curve_and_skips_what_is_not_finite(tmp_path):
    x = list(range(5))
    empty = LinePlot({'a': ([], [])})
    one = LinePlot({'a': (x, [1, 2, float('nan'), 2, 1])})
    two = LinePlot({'a': (x, [1, 2, float('nan'), 2, 1]), '_b $': (x, [3, 3, 3, 3, 3])}, 'step', 'loss')
    images = _images(_write(tmp_path, empty, one, two, LinePlot({}), LinePlot({'a': ([1], [1])}, log_y=True)))
    blue, orange = np.array([31, 119, 180]), np.array([255, 127, 14])

    def count(image, color):
        return int((image[..., :3] == color).all(axis=2).sum())

    assert count(images[1], blue) > 500
    assert count(images[1], orange) == 0
    assert count(images[2], blue) > 500
    assert count(images[2], orange) > 500
    assert count(images[4], blue) > 20  # a single point shows as a dot


def test_figure__takes_matplotlib_figures(tmp_path):
    figure = MatplotlibFigure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1], [0, 1])
    assert _images(_write(tmp_path, Figure(figure)))[0].shape[2] in (3, 4)


def test_write_report__refuses_and_leaves_the_old_file(tmp_path):
    old = _write(tmp_path, 'old')
    with pytest.raises(TypeError, match='expected str, Table, Bars, Figure or LinePlot, got int'):
        _write(tmp_path, 5)
    with pytest.raises(ValueError, match='report figure: expected'):
        _write(tmp_path, Figure(np.zeros((4, 4, 3))))
    with pytest.raises(ValueError, match="report curve 'a': 2 x values but 1 y values"):
        _write(tmp_path, LinePlot({'a': ([1, 2], [1])}))
    assert (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8') == old


def test_write_report__bars_and_folded_tables(tmp_path):
    bars = Bars([('<cat>', 0.25, '25.00'), ('dog', 1.5, '150.00')], 'caption')
    table = Table([{'name': 'cat', 'score': '1.00'}], right=['score'], summary='All <1>')
    page = HtmlPage(_write(tmp_path, bars, table))
    widths = [value for key, value in page.attributes if key == 'style']
    assert widths == ['width: 25.00%', 'width: 100.00%']
    assert {'<cat>', '25.00', '150.00', 'caption', 'All <1>'} <= set(page.texts)
    assert {'details', 'summary'} <= set(page.tags)
    assert page.attributes.count(('class', 'number')) == 4  # two texts of bars, a head and a cell


def test_write_report__photo_and_letters_that_the_font_lacks(tmp_path):
    photo = np.full((8, 8, 3), 200, np.uint8)
    page = _write(tmp_path, Figure(photo, is_photo=True), LinePlot({'杯': ([0, 1], [0, 1])}, y_range=(0, 1)))
    assert page.count('data:image/jpeg;base64,') == page.count('data:image/png;base64,') == 1
    assert np.abs(_images(page)[0].astype(int) - 200).max() <= 2
