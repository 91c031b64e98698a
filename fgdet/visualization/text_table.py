"""Tables for a terminal: plain aligned text, one string a line."""

import unicodedata
from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Align columns two spaces apart.

    Args:
        rows: of one length, a header among them where there is one.
        left: this many columns stand to the left, the others to the right.

    Returns:
        A line for each row, without spaces at its end.
    """
    widths = [max(map(text_width, column)) for column in zip(*rows, strict=True)]
    return ['  '.join(map(_padded, row, widths, [i < left for i in range(len(row))])).rstrip() for row in rows]


def text_width(text: str) -> int:
    """Cells that a text takes on a terminal: wide characters, such as Chinese, take two, combining ones none."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in 'WF') for c in text)


def _padded(text: str, width: int, is_left: bool) -> str:
    space = ' ' * (width - text_width(text))
    return text + space if is_left else space + text
