from fgdet.evaluation.resampling import Interval
from fgdet.visualization.score_text import score_text
from fgdet.visualization.text_table import text_table


def test_text_table__aligns_by_the_cells_that_letters_take():
    rows = [['', 'AP50', 'AP'], ['base', '57.33', '7.00'], ['猫', '-', '12.50'], ['cafe\u0301', '1', '2']]
    assert text_table(rows) == [
        '       AP50     AP',
        'base  57.33   7.00',
        '猫        -  12.50',
        'cafe\u0301      1      2',
    ]


def test_text_table__several_left_columns_and_no_spaces_at_the_end():
    assert text_table([['a', 'b', '1'], ['cc', 'dd', '']], left=2) == ['a   b   1', 'cc  dd']


def test_score_text__fractions_counts_and_unknown_ones():
    assert [score_text(value) for value in (0.57333, 1.0, 65, 0, None, float('nan'))] == [
        '57.33', '100.00', '65', '0', '-', '-',
    ]  # fmt: skip
    assert score_text(0.5, Interval(0.41, 0.62)) == '50.00 (41.00-62.00)'
    assert score_text(0.5, Interval(float('nan'), float('nan'))) == '50.00'
