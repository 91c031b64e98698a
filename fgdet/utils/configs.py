"""Configs: where ours lie, in a checkout beside the package, else where an installed package put them; and reading."""

import sys
from pathlib import Path

from mmengine.config import Config

from fgdet.utils.checks import UserError, existing_file

_FOLDERS = (Path(__file__).parents[2] / 'configs', Path(sys.prefix) / 'share' / 'fgdet' / 'configs')


def config_file(name: str) -> Path:
    """The path of a config by its name below ``configs``, for example ``'demo/stage1.py'``.

    Raises:
        UserError: there is none of that name.
    """
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f'config {name}: not found in {" or ".join(str(folder) for folder in _FOLDERS)}')


def read_config(path: str | Path) -> Config:
    """Read a config file.

    Raises:
        UserError: it is missing or no valid config.
    """
    existing_file(path, 'config')
    try:
        return Config.fromfile(str(path))
    except Exception as error:  # a config is Python of the user's: it may raise anything
        message = ' '.join(str(error).split('\n', 1)[0].split())
        raise UserError(f'config {path}: {type(error).__name__}: {message}') from error
