"""Lists of image links with what is said of the images: parquet, JSON, JSON lines, CSV, TSV, or one link a line."""

import csv
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json

#: Names of columns that are looked for where none is given, the first that is there.
URL_COLUMNS = ('url', 'URL', 'image_url')
CAPTION_COLUMNS = ('caption', 'text', 'TEXT', 'alt_text')
Row = dict[str, Any]


class LinkColumns(NamedTuple):
    """Which columns of a list are read.

    Args:
        url: the link; None: the first of :data:`URL_COLUMNS`.
        caption: None: the first of :data:`CAPTION_COLUMNS`, where there is one.
        short_caption: None: the caption is the short one too.
        regions: phrases with boxes as GRIT has them (arXiv 2306.14824, section 2: rows ``[start, end, x1, y1, x2, y2,
            score]``, characters of the caption and a box normalised to 0..1), such as ``ref_exps``.
        keep: further columns that go into the record.
    """

    url: str | None = None
    caption: str | None = None
    short_caption: str | None = None
    regions: str | None = None
    keep: tuple[str, ...] = ()


class Link(NamedTuple):
    """A link, '' where a row has none, and the fields of its image's record."""

    url: str
    record: Row


def link_files(links: str | Path) -> list[Path]:
    """The file itself, or every list in a folder by name.

    Raises:
        UserError: there is none, or a file is of another kind.
    """
    path = Path(links)
    if not path.exists():
        raise UserError(f'links {path}: no such file or folder')
    files = sorted(file for file in path.iterdir() if file.suffix in _READERS) if path.is_dir() else [path]
    if not files:
        raise UserError(f'links {path}: no list in this folder; expected {", ".join(_READERS)}')
    if files[0].suffix not in _READERS:
        raise UserError(f'links {path}: expected a file that ends on {", ".join(_READERS)}')
    return files


def count_links(files: list[Path]) -> int:
    """How many rows :func:`read_links` will give."""
    return sum(_parquet_rows(file) if file.suffix == '.parquet' else sum(1 for _ in _rows(file)) for file in files)


def read_links(files: list[Path], columns: LinkColumns) -> Iterator[Link]:
    """Each row of each file in order; a row that cannot be used gives a link ''.

    Raises:
        UserError: a file cannot be read, or lacks a column.
    """
    for file in files:
        rows = iter(_rows(file))
        first = next(rows, None)
        if first is None:
            continue
        named = _find_columns(file, first, columns)
        for row in itertools.chain([first], rows):
            yield _link(row, named)


def _find_columns(file: Path, first: Row, columns: LinkColumns) -> LinkColumns:
    """The columns by the names that this file has."""
    given = [columns.url, columns.caption, columns.short_caption, columns.regions, *columns.keep]
    missing = [name for name in given if name is not None and name not in first]
    url = columns.url or next((name for name in URL_COLUMNS if name in first), None)
    if missing or url is None:
        wanted = ', '.join(missing) or f'one of {", ".join(URL_COLUMNS)}'
        there = ', '.join(map(str, first)) or 'none'
        raise UserError(
            f'links {file}: no column {wanted}; there are {there}; name them by options such as --url-column'
        )
    caption = columns.caption or next((name for name in CAPTION_COLUMNS if name in first), None)
    return columns._replace(url=url, caption=caption)


def _link(row: Row, columns: LinkColumns) -> Link:
    names = columns.url, columns.caption, columns.short_caption, columns.regions
    url, caption, short, regions = (None if name is None else row.get(name) for name in names)
    record: Row = {}
    if isinstance(caption, str) and caption.strip():
        record['caption'] = caption
        record['short_caption'] = short if isinstance(short, str) and short.strip() else caption
        if columns.regions:
            record['bbox_info'] = _regions(regions, caption)
    record |= {name: _finite(row.get(name)) for name in columns.keep if name not in record}
    return Link(url.strip() if isinstance(url, str) else '', record)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value  # JSON has no NaN


def _regions(entries: Any, caption: str) -> list[Row]:
    """GRIT's phrases as regions of a record; those without text or area are left out."""
    regions = []
    for entry in entries if isinstance(entries, list) else []:
        try:
            start, end, x1, y1, x2, y2, score = map(float, entry)
            text = caption[int(start) : int(end)].strip() if start >= 0 else ''
        except (TypeError, ValueError, OverflowError):
            continue
        box = [min(max(value, 0.0), 1.0) for value in (x1, y1, x2, y2)]
        if text and box[0] < box[2] and box[1] < box[3]:
            regions.append(
                dict(bbox=[*box, score], short_expr=text, long_expr=text, flag_short_neg=0, short_expr_negs={})
            )
    return regions


def _rows(file: Path) -> Iterator[Row]:
    try:
        yield from _READERS[file.suffix](file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'links {file}: it cannot be read ({error})') from error


def _text_rows(file: Path) -> Iterator[Row]:
    with open(file, encoding='utf-8-sig', newline='\n') as lines:
        yield from ({'url': line.strip()} for line in lines if line.strip())


def _csv_rows(file: Path) -> Iterator[Row]:
    with open(file, encoding='utf-8-sig', newline='') as lines:
        yield from csv.DictReader(lines, delimiter='\t' if file.suffix == '.tsv' else ',')


def _json_rows(file: Path) -> Iterator[Row]:
    """A list of objects, or one object a line; what is no object is an empty row."""
    with open(file, encoding='utf-8-sig', newline='\n') as lines:
        first = next((line for line in lines if line.strip()), '')
        if not first.lstrip().startswith('['):
            for line in itertools.chain([first] if first else [], (line for line in lines if line.strip())):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                yield row if isinstance(row, dict) else {}
            return
    yield from (row if isinstance(row, dict) else {} for row in read_json(file, 'links'))


def _parquet_file(file: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UserError(f'links {file}: reading parquet needs pyarrow; install it by pip install pyarrow') from error
    try:
        return parquet.ParquetFile(file)
    except ArrowException as error:
        raise UserError(f'links {file}: it cannot be read as parquet ({error})') from error


def _parquet_rows(file: Path) -> int:
    return _parquet_file(file).metadata.num_rows


def _read_parquet(file: Path) -> Iterator[Row]:
    with _parquet_file(file) as table:
        for batch in table.iter_batches(batch_size=4096):
            yield from batch.to_pylist()


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    '.parquet': _read_parquet,
    '.json': _json_rows,
    '.jsonl': _json_rows,
    '.csv': _csv_rows,
    '.tsv': _csv_rows,
    '.txt': _text_rows,
}
