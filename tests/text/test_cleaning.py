# ruff: noqa: RUF001 (odd characters are what is tested)
"""Cleaning chunk by chunk gives what ftfy and html give on the whole text, wherever it says that it does."""

import html
import sys
import unicodedata

import ftfy
import numpy as np
import pytest

from fgdet.text.cleaning import clean, clean_alone


def by_definition(text: str) -> str:
    return ' '.join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()


@pytest.mark.parametrize(
    ('chunk', 'cleaned'),
    [
        ('', ''),
        ('Dog,', 'dog,'),
        ('It’s', "it's"),
        ('“Café”', '"café"'),
        ('CRÈME', 'crème'),
        ('ﬁsh', 'fish'),
        ('ｗｉｄｅ', 'wide'),
        ('👩‍👩‍👧‍👦!', '👩‍👩‍👧‍👦!'),
        ('one\ntwo', 'one two'),
        ('one\u3000two', 'one two'),
        ('&amp;', '&'),
        ('&AMP;&lt;b&gt;', '&<b>'),
        ('caf&eacute;', 'café'),
        ('&', '&'),
        ('&nbsp;x', 'x'),
        ('\u0301x', '\u0301x'),
        ('\x1b[31mred', 'red'),
        ('日本語の長い文章です', '日本語の長い文章です'),
        # Here the rest of the text may decide.
        ('Ã', None),
        ('Ã©', None),
        ('1\nÂ', None),
        ('œ', None),
        ('\x85', None),
        ('&rsquo;', None),
        ('&amp;amp;amp;', None),
    ],
)
def test_clean_alone__by_hand(chunk: str, cleaned: str | None) -> None:
    assert clean_alone(chunk) == cleaned


def test_clean_alone__equals_ftfy_on_every_character() -> None:
    """Each assigned character alone, in a word and before a mark; what is not cleaned alone is left to ftfy."""
    codes = [
        code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in {'Cn', 'Co', 'Lo', 'So'}
    ]
    codes += [*range(0xA0, 0x3100), *range(0xF900, 0x10000)]
    characters = ''.join(chr(code) for code in codes)
    alone = [clean_alone(f'B{c}a') for c in characters]
    wrong = [
        hex(ord(c)) for c, a in zip(characters, alone, strict=True) if a is not None and a != by_definition(f'B{c}a')
    ]
    assert wrong == []
    assert sum(a is not None for a in alone) > 0.7 * len(alone)


def test_clean_alone__chunks_that_stand_alone_never_change_each_other() -> None:
    """Any text of such chunks, cleaned as a whole by ftfy and html, is its cleaned chunks in a row."""
    rng = np.random.default_rng(0)
    letters = [*'aAzZ10.,!?;&<#x', *'éèçàâãÃÂîÐœŒßøØÙà°€£©®™²³¼×·´–—“”‘’«»‚„…§¶¢µ', *'ВГРСЂвБΒΓΞβāǎ']
    letters += [
        *'\xa0\xad\u200b\u200d\u2028\u3000\ufeff\n\t\r',
        '😀',
        '\ufe0f',
        '🏽',
        '日',
        '한',
        'amp;',
        'lt;',
        'eacute;',
        '#39;',
    ]
    chunks = [''.join(rng.choice(letters, rng.integers(1, 5))) for _ in range(24_000)]
    cleaned = {chunk: clean_alone(chunk) for chunk in chunks}
    good = [chunk for chunk in chunks if cleaned[chunk] is not None]
    assert len(good) > 2000
    for start in range(0, len(good), 8):
        some = good[start : start + 8]
        assert by_definition(' '.join(some)) == ' '.join(filter(None, (cleaned[chunk] for chunk in some))), some


def test_clean__equals_ftfy_and_html() -> None:
    for text in (
        '',
        ' A  b ',
        'a\x0bb',
        'a\x1cb',
        '\x1b[31mred\x1b[0m',
        'â€œbrokenâ€\x9d',
        '&lt;p&gt; &amp;amp;',
        'A\tB',
    ):
        assert clean(text) == by_definition(text)
