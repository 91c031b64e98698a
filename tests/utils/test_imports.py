"""Imports whose chatter is dropped."""

import sys

from fgdet.utils.imports import import_quietly


def test_import_quietly__imports_and_says_nothing(tmp_path, monkeypatch, capsys):
    (tmp_path / 'talkative_module.py').write_text("print('hello')\nvalue = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    import_quietly('talkative_module')
    assert sys.modules.pop('talkative_module').value == 3
    assert capsys.readouterr().out == ''
