"""Readers of link lists: each form gives the same links, and bad rows give none."""

import json
from pathlib import Path

import pytest

from fgdet.data_engine.link_lists import Link, LinkColumns, count_links, link_files, read_links
from fgdet.utils.checks import UserError

ROWS = [{'url': 'http://a/1', 'text': 'A, "quoted" cat', 'w': 1}, {'url': 'http://a/2', 'text': ' ', 'w': 2}]
EXPECTED = [
    Link('http://a/1', dict(caption='A, "quoted" cat', short_caption='A, "quoted" cat')),
    Link('http://a/2', {}),
]


def read(path: Path, columns: LinkColumns | None = None) -> list[Link]:
    files = link_files(path)
    found = list(read_links(files, columns or LinkColumns()))
    assert count_links(files) == len(found)
    return found


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding='utf-8')
    return path


def test_read_links__each_form(tmp_path: Path) -> None:
    lines = '\n'.join(map(json.dumps, ROWS))
    quoted = 'index,url,text\n0,http://a/1,"A, ""quoted"" cat"\n1,http://a/2, \n'
    assert read(write(tmp_path / 'a.json', json.dumps(ROWS))) == EXPECTED
    assert read(write(tmp_path / 'b.json', '\n' + lines)) == EXPECTED
    assert read(write(tmp_path / 'c.jsonl', lines)) == EXPECTED
    assert read(write(tmp_path / 'd.csv', '\ufeff' + quoted.replace('index', ''))) == EXPECTED
    assert read(write(tmp_path / 'e.tsv', 'url\ttext\nhttp://a/1\tx\n')) == [
        Link('http://a/1', dict(caption='x', short_caption='x'))
    ]
    assert read(write(tmp_path / 'f.txt', 'http://a/1\r\n\nhttp://a/2')) == [
        Link('http://a/1', {}),
        Link('http://a/2', {}),
    ]
    assert len(read(tmp_path)) == 11
    assert read(write(tmp_path / 'g.jsonl', '')) == []


def test_read_links__parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip('pyarrow', reason='pyarrow is not installed')
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / 'a.parquet')
    assert read(tmp_path / 'a.parquet', LinkColumns(keep=('w',)))[1] == Link('http://a/2', dict(w=2))
    with pytest.raises(UserError, match='as parquet'):
        read(write(tmp_path / 'b.parquet', 'no parquet'))


def test_read_links__named_columns(tmp_path: Path) -> None:
    row = dict(link='http://a', long='long', short='short', score=float('nan'), caption='another')
    path = write(tmp_path / 'a.jsonl', json.dumps(row))
    columns = LinkColumns('link', 'long', 'short', keep=('score', 'caption'))
    expected = dict(caption='long', short_caption='short', score=None)
    assert read(path, columns) == [Link('http://a', expected)]


def test_read_links__regions_of_grit(tmp_path: Path) -> None:
    good = [2, 5, -0.1, 0.25, 0.5, 1.5, 0.75]
    bad = [[], None, 'text', [0, 3, 0.5, 0, 0.5, 1, 1], [9, 9, 0, 0, 1, 1, 1], [float('nan'), 3, 0, 0, 1, 1, 1]]
    row = dict(url='http://a', caption='a cat on a mat', ref_exps=[good, *bad])
    found = read(write(tmp_path / 'a.json', json.dumps([row])), LinkColumns(regions='ref_exps'))
    region = dict(bbox=[0, 0.25, 0.5, 1, 0.75], short_expr='cat', long_expr='cat', flag_short_neg=0, short_expr_negs={})
    assert found[0].record['bbox_info'] == [region]


def test_read_links__rows_that_are_none(tmp_path: Path) -> None:
    text = '{"url": "http://a"}\nnot json\n[1]\n{"url": 5}\n{}\n' + '[' * 100_000
    assert read(write(tmp_path / 'a.jsonl', text)) == [Link('http://a', {})] + [Link('', {})] * 5


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('a.jsonl', '{"link": 1}', 'no column one of url, URL, image_url; there are link'),
        ('a.json', '[{"url": 1}', 'not JSON'),
        ('a.csv', '', None),
        ('a.xml', '', 'expected a file that ends on .parquet'),
        ('a.csv', f'url\n"{"x" * 200_000}"', 'cannot be read'),
        ('a.jsonl', '{"url": "http://a"}', 'no column short'),
    ],
)
def test_read_links__mended_by_the_user(tmp_path: Path, name: str, text: str, message: str | None) -> None:
    path = write(tmp_path / name, text)
    columns = LinkColumns(short_caption='short') if message == 'no column short' else LinkColumns()
    if message is None:
        assert read(path) == []
        return
    with pytest.raises(UserError, match=message):
        list(read_links(link_files(path), columns))
    with pytest.raises(UserError, match='no such file'):
        link_files(tmp_path / 'missing.txt')
