import pytest

from fgdet.visualization.palette import PALETTE, name_colors, text_color


def _luminance(color):
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_name_colors__alone_it_follows_from_the_letters():
    # Fixed, so that pictures of different runs can be compared: crc32('cat') % 20 = 14, crc32('Ключ') is stable too.
    assert name_colors(['cat']) == name_colors(['cat', 'cat'])
    assert PALETTE.index(name_colors(['cat'])['cat']) == 0x9E5E43A8 % 20


def test_name_colors__distinct_and_independent_of_order():
    names = [f'class {index}' for index in range(20)]
    colors = name_colors(names)
    assert len(set(colors.values())) == 20
    assert name_colors(names[::-1]) == colors


def test_name_colors__more_names_than_colors_and_none():
    assert len(name_colors(str(index) for index in range(50))) == 50
    assert name_colors([]) == {}


@pytest.mark.parametrize('color', [*PALETTE, (0, 0, 0), (255, 255, 255), (119, 119, 119)])
def test_text_color__contrast_meets_wcag(color):
    dark, light = sorted([_luminance(color), _luminance(text_color(color))])
    assert (light + 0.05) / (dark + 0.05) >= 4.5
