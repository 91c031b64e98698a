"""Where the configs lie: in a source checkout beside the package, else where an installed package put them."""

import sys
from pathlib import Path

from fgdet.utils.checks import UserError

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
