"""Prompts that a user chooses by name or in a file."""

from pathlib import Path

import pytest

from fgdet.structures.prompt_templates import read_templates, template_set
from fgdet.utils.checks import UserError


def test_read_templates__by_name_and_from_files(tmp_path: Path) -> None:
    assert read_templates('openai') == template_set('imagenet') and len(read_templates('openai')) == 80
    assert len(read_templates('simple')) == 7 and read_templates('none') == ('{}',)
    (tmp_path / 'a.txt').write_text('a photo of {}.\n\n  the {}\n')
    (tmp_path / 'b.json').write_text('["a {}", "{} or {}"]')
    assert read_templates(str(tmp_path / 'a.txt')) == ('a photo of {}.', 'the {}')
    assert read_templates(tmp_path / 'b.json') == ('a {}', '{} or {}')


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.txt', 'a {}\nthe cat\n', "'the cat' has no {} where the name goes"),
        ('a.txt', '\n', 'it is empty'),
        ('a.json', '{"a": 1}', 'expected a JSON list of strings'),
        ('a.json', '["a {}", 1]', 'expected a JSON list of strings'),
        ('other', None, 'expected openai, simple, none or a file'),
    ],
)
def test_read_templates__errors(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_templates(tmp_path / name)
