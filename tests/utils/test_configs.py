"""Configs found by name, in a checkout and in an installed package."""

import pytest

from fgdet.utils import configs
from fgdet.utils.checks import UserError


def test_config_file__of_this_checkout():
    assert configs.config_file('demo/stage1.py').read_text().startswith('# Demo, stage 1')


def test_config_file__of_an_installed_package(tmp_path, monkeypatch):
    (tmp_path / 'demo').mkdir()
    (tmp_path / 'demo' / 'stage1.py').write_text('')
    monkeypatch.setattr(configs, '_FOLDERS', (tmp_path / 'none', tmp_path))
    assert configs.config_file('demo/stage1.py') == tmp_path / 'demo' / 'stage1.py'


def test_config_file__unknown_name_is_named():
    with pytest.raises(UserError, match=r'demo/stage9\.py'):
        configs.config_file('demo/stage9.py')
