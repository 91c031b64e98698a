"""Which files an input stands for, and which words a vocabulary."""

import json
from pathlib import Path

import pytest

from fgdet.apis.image_files import find_images, read_vocabulary
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.detector_builders import write_picture


def test_find__files_folders_and_patterns_once_each(tmp_path: Path) -> None:
    for name in ('b.png', 'a.png', 'sub/c.png'):
        write_picture(tmp_path / name)
    (tmp_path / 'notes.txt').write_text('no image')
    expected = [tmp_path / 'b.png', tmp_path / 'a.png', tmp_path / 'sub' / 'c.png']
    inputs = [str(tmp_path / 'b.png'), str(tmp_path / '[ab].png'), str(tmp_path)]
    assert find_images(inputs) == (expected, [])


def test_find__inputs_without_an_image(tmp_path: Path) -> None:
    (tmp_path / 'empty').mkdir()
    images, failures = find_images([str(tmp_path / 'empty'), str(tmp_path / 'none.png'), str(tmp_path / '*.bmp')])
    assert images == []
    assert [failure.path.name for failure in failures] == ['empty', 'none.png', '*.bmp']
    assert 'no image in this folder' in str(failures[0].error)
    assert 'no such file, folder or match' in str(failures[1].error)


def test_vocabulary__words_and_files(tmp_path: Path) -> None:
    assert read_vocabulary(' red mug, striped cat ') == ['red mug', 'striped cat']
    (tmp_path / 'names.txt').write_text('red mug\nstriped cat\n')
    assert read_vocabulary(str(tmp_path / 'names.txt')) == ['red mug', 'striped cat']
    (tmp_path / 'more.json').write_text(json.dumps(dict(names=['cat'], templates=['one {}'])))
    assert read_vocabulary(str(tmp_path / 'more.json')) == Vocabulary(['cat'], templates=['one {}'])


@pytest.mark.parametrize('text', ['', ' , ', 'cat,,dog', 'cat, cat', 'none.txt'])
def test_vocabulary__refuses_empty_and_repeated_words(text: str) -> None:
    with pytest.raises(UserError):
        read_vocabulary(text)
