"""Which files an input stands for, and which words a vocabulary."""

import json
from pathlib import Path

import pytest

from fgdet.apis.image_files import find_inputs, is_video, read_vocabulary
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.detector_builders import write_picture


def test_find__files_folders_and_patterns_once_each(tmp_path: Path) -> None:
    for name in ('b.png', 'a.png', 'sub/c.png'):
        write_picture(tmp_path / name)
    (tmp_path / 'sub' / 'd.MP4').write_bytes(b'')
    (tmp_path / 'notes.txt').write_text('no image')
    expected = [tmp_path / 'b.png', tmp_path / 'a.png', tmp_path / 'sub' / 'c.png', tmp_path / 'sub' / 'd.MP4']
    inputs = [str(tmp_path / 'b.png'), str(tmp_path / '[ab].png'), str(tmp_path)]
    assert find_inputs(inputs) == (expected, [])
    assert [is_video(each) for each in expected] == [False, False, False, True]


def test_find__streams_and_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path('7').write_bytes(b'')  # a file goes before a camera
    found, failures = find_inputs(['rtsp://host/door', '0', '7'])
    assert found == ['rtsp://host/door', '0', Path('7')] and not failures
    assert [is_video(each) for each in found] == [True, True, False]


def test_find__inputs_without_an_image(tmp_path: Path) -> None:
    (tmp_path / 'empty').mkdir()
    images, failures = find_inputs([str(tmp_path / 'empty'), str(tmp_path / 'none.png'), str(tmp_path / '*.bmp')])
    assert images == []
    assert [Path(failure.path).name for failure in failures] == ['empty', 'none.png', '*.bmp']
    assert 'no image or video in this folder' in str(failures[0].error)
    assert 'no such file, folder or match' in str(failures[1].error)


def test_vocabulary__words_and_files(tmp_path: Path) -> None:
    assert read_vocabulary(' red mug, striped cat ') == Vocabulary(['red mug', 'striped cat'])
    (tmp_path / 'names.txt').write_text('red mug\nstriped cat\n')
    assert read_vocabulary(str(tmp_path / 'names.txt')) == Vocabulary(['red mug', 'striped cat'])
    (tmp_path / 'more.json').write_text(json.dumps(dict(names=['cat'], templates=['one {}'])))
    assert read_vocabulary(str(tmp_path / 'more.json')) == Vocabulary(['cat'], templates=['one {}'])


@pytest.mark.parametrize('text', ['', ' , ', 'cat,,dog', 'cat, cat', 'none.txt'])
def test_vocabulary__refuses_empty_and_repeated_words(text: str) -> None:
    with pytest.raises(UserError):
        read_vocabulary(text)


def test_vocabulary__refuses_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / 'names.csv').write_text('red mug')
    with pytest.raises(UserError, match=r"names\.csv: ending '\.csv' is not known; use \.txt or \.json"):
        read_vocabulary(str(tmp_path / 'names.csv'))
    assert read_vocabulary('no. 5, st. bernard').names == ('no. 5', 'st. bernard')
