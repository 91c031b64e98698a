"""A report as one HTML file that needs nothing else: pictures and styles are inside, no link leads out.

A report is a title and sections; a section is a heading and blocks; a block is a paragraph (a string), a
:class:`Table`, :class:`Bars`, a :class:`Figure` or a :class:`LinePlot`. All text is escaped, so names and captions may
hold anything.
"""

import base64
import html
import io
import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image

from fgdet.utils.files import write_text

_STYLE = """
:root { color-scheme: light dark; --text: #1c1e21; --soft: #5c6570; --line: #d9dde2; --page: #ffffff; --card: #f5f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e8eb; --soft: #a0a8b3; --line: #3a4048; --page: #16181b; --card: #202328; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 70rem; color: var(--text); background: var(--page);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1.5rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
p { max-width: 48rem; margin: .6rem 0; white-space: pre-line; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption, figcaption { color: var(--soft); font-size: .9rem; text-align: left; padding: .4rem 0; }
caption { caption-side: bottom; }
th, td { padding: .35rem .9rem; border-bottom: 1px solid var(--line); text-align: left; }
th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; }
.number { text-align: right; white-space: nowrap; }
tbody tr:hover { background: var(--card); }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--soft); }
.bars td { padding: .1rem .6rem; border: 0; overflow-wrap: anywhere; }
.bars .track { min-width: 10rem; }
.bars .number { overflow-wrap: normal; }
.track { width: 24rem; }
.track div { height: .8rem; min-width: 1px; border-radius: 2px; background: #4a7fb5; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; margin: 1rem 0; }
figure { margin: 0; padding: .6rem; box-sizing: content-box; border: 1px solid var(--line); border-radius: 8px;
  background: var(--card); max-width: calc(100% - 1.4rem); }
figcaption { padding: .5rem .1rem 0; }
img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
"""


@dataclass
class Table:
    """Rows as dicts of column to value; columns come in the order in which they first appear.

    Floats show four significant digits; None, NaN and a column that a row lacks show as a dash.

    Args:
        rows: the values by column.
        caption: text below the table.
        right: columns of text that stand to the right, as numbers do.
        summary: where given, the table is folded away behind this line.
    """

    rows: Sequence[Mapping[str, Any]]
    caption: str = ''
    right: Collection[str] = ()
    summary: str = ''


@dataclass
class Bars:
    """Horizontal bars with a name to the left and a text to the right.

    Args:
        bars: name, length as a share of the full width (0..1), text.
        caption: text below.
    """

    bars: Sequence[tuple[str, float, str]]
    caption: str = ''


@dataclass
class Figure:
    """A picture: an (H, W, 3) or (H, W) uint8 image, or a matplotlib figure; figures in a row stand side by side.

    Args:
        image: what is shown.
        caption: text below it.
        is_photo: whether it is kept as JPEG, a fifth of the size of PNG.
    """

    image: np.ndarray | MatplotlibFigure
    caption: str = ''
    is_photo: bool = False


@dataclass
class LinePlot:
    """Curves over a common axis, such as losses over steps.

    Args:
        curves: name to (x values, y values), equally many; points that are not finite are left out.
        x_label: text below the axis.
        y_label: text beside the axis.
        caption: text below the plot.
        log_y: logarithmic y axis, for positive values.
        y_range: ends of the y axis; None: what the curves need.
    """

    curves: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]]
    x_label: str = ''
    y_label: str = ''
    caption: str = ''
    log_y: bool = False
    y_range: tuple[float, float] | None = None


Block = str | Table | Bars | Figure | LinePlot


@dataclass
class Section:
    """A heading and what stands under it, in order."""

    heading: str
    blocks: Sequence[Block] = field(default_factory=list)


def write_report(path: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Write a report in one step: whoever opens ``path`` sees the old file or the whole new one.

    Args:
        path: the ``.html`` file; missing folders are made.
        title: heading of the page.
        sections: what the page shows, in order.

    Returns:
        The path.

    Raises:
        TypeError: a block is none of the five kinds.
        ValueError: an image has another shape or type, or a curve's x and y differ in length.
    """
    body = '\n'.join(_section(section) for section in sections)
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f'<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n'
    )
    write_text(path, page)
    return Path(path)


def _section(section: Section) -> str:
    """Return a section's HTML; pictures that follow one another share a row."""
    parts = [f'<section>\n<h2>{html.escape(section.heading)}</h2>']
    pictures: list[str] = []
    for block in [*section.blocks, None]:
        if isinstance(block, Figure | LinePlot):
            pictures.append(_picture(block))
            continue
        if pictures:
            parts.append('<div class="figures">\n' + '\n'.join(pictures) + '\n</div>')
            pictures = []
        if isinstance(block, str):
            parts.append(f'<p>{html.escape(block)}</p>')
        elif isinstance(block, Table):
            parts.append(_table(block))
        elif isinstance(block, Bars):
            parts.append(_bars(block))
        elif block is not None:
            raise TypeError(f'report block: expected str, Table, Bars, Figure or LinePlot, got {type(block).__name__}')
    return '\n'.join([*parts, '</section>'])


def _table(table: Table) -> str:
    columns = list(dict.fromkeys(column for row in table.rows for column in row))
    numeric = {column for column in columns if all(_is_number(row.get(column)) for row in table.rows)}
    numeric.update(table.right)

    def cell(tag: str, column: str, text: str) -> str:
        style = ' class="number"' if column in numeric else ''
        return f'<{tag}{style}>{html.escape(text)}</{tag}>'

    head = ''.join(cell('th', column, str(column)) for column in columns)
    rows = '\n'.join(
        '<tr>' + ''.join(cell('td', column, _cell_text(row.get(column))) for column in columns) + '</tr>'
        for row in table.rows
    )
    caption = f'<caption>{html.escape(table.caption)}</caption>\n' if table.caption else ''
    text = (
        f'<div class="table"><table>\n{caption}<thead><tr>{head}</tr></thead>\n'
        f'<tbody>\n{rows}\n</tbody>\n</table></div>'
    )
    return f'<details><summary>{html.escape(table.summary)}</summary>\n{text}</details>' if table.summary else text


def _bars(block: Bars) -> str:
    rows = '\n'.join(
        f'<tr><td>{html.escape(name)}</td><td class="track"><div style="width: {100 * min(max(share, 0), 1):.2f}%">'
        f'</div></td><td class="number">{html.escape(text)}</td></tr>'
        for name, share, text in block.bars
    )
    caption = f'<caption>{html.escape(block.caption)}</caption>\n' if block.caption else ''
    return f'<div class="table"><table class="bars">\n{caption}<tbody>\n{rows}\n</tbody>\n</table></div>'


def _is_number(value: Any) -> bool:
    """Return whether a value belongs in a column of numbers; a missing one does."""
    return value is None or (isinstance(value, int | float | np.number) and not isinstance(value, bool))


def _cell_text(value: Any) -> str:
    if value is None:
        return '–'  # noqa: RUF001
    if isinstance(value, float | np.floating):
        return f'{value:.4g}' if math.isfinite(value) else ('–' if math.isnan(value) else str(value))  # noqa: RUF001
    return str(value)


def _picture(block: Figure | LinePlot) -> str:
    """Return a picture's HTML, the file inside it; plots are shown at half their pixels, sharp on fine screens too."""
    image = _plot(block) if isinstance(block, LinePlot) else block.image
    is_photo = isinstance(block, Figure) and block.is_photo
    encoded = _encoded(image, 'jpeg' if is_photo else 'png')
    scale = 2 if isinstance(image, MatplotlibFigure) else 1
    width, height = Image.open(io.BytesIO(encoded)).size
    size = f'width="{width // scale}" height="{height // scale}"'
    alt = html.escape(block.caption or 'figure')
    caption = f'<figcaption>{html.escape(block.caption)}</figcaption>' if block.caption else ''
    data = f'data:image/{"jpeg" if is_photo else "png"};base64,{base64.b64encode(encoded).decode("ascii")}'
    # As wide as its picture, whatever the caption's length; a small one leaves its caption some room.
    style = f'style="width: {max(width // scale, 200)}px"'
    return f'<figure {style}><img {size} alt="{alt}" src="{data}">{caption}</figure>'


def _encoded(image: np.ndarray | MatplotlibFigure, kind: str) -> bytes:
    buffer = io.BytesIO()
    if isinstance(image, MatplotlibFigure):
        with warnings.catch_warnings():  # a letter that the plots' font lacks is drawn as a box
            warnings.filterwarnings('ignore', 'Glyph .* missing from', UserWarning)
            image.savefig(buffer, format='png', dpi=200, facecolor='white', bbox_inches='tight')
        return buffer.getvalue()
    array = np.asarray(image)
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or array.size == 0 or not is_picture:
        raise ValueError(f'report figure: expected (H, W, 3) or (H, W) uint8, got {array.shape} {array.dtype}')
    Image.fromarray(array).save(buffer, format=kind, quality=85)
    return buffer.getvalue()


def _plot(plot: LinePlot) -> MatplotlibFigure:
    """Draw the curves on a figure of its own, apart from pyplot's global state."""
    with mpl.rc_context({'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False}):
        figure = MatplotlibFigure(figsize=(4.8, 3), layout='constrained')
        axes = figure.add_subplot()
        for name, (x, y) in plot.curves.items():
            if len(x) != len(y):
                raise ValueError(f'report curve {name!r}: {len(x)} x values but {len(y)} y values')
            points = np.array([x, y], dtype=float)  # (2, points)
            points = points[:, np.isfinite(points).all(axis=0)]
            axes.plot(points[0], points[1], linewidth=1.6, marker='o' if points.shape[1] < 2 else '')
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.set_yscale('log' if plot.log_y else 'linear')
        if plot.y_range:
            axes.set_ylim(*plot.y_range)
        axes.grid(alpha=0.25)
        if plot.curves:
            axes.legend(axes.get_lines(), [_plain(name) for name in plot.curves], frameon=False)
    return figure


def _plain(text: str) -> str:
    """Return text that matplotlib does not read as a formula."""
    return text.replace('$', r'\$')
