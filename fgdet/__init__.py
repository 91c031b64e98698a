"""fgdet: open-vocabulary detection on FG-CLIP.

Importing the package loads no torch. The public names resolve on first use, and mmcv's compiled operators are served
from torchvision where the installed mmcv has none (see :mod:`fgdet.compat.mmcv_ops`).
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fgdet.compat import mmcv_ops
from fgdet.version import __version__

if TYPE_CHECKING:
    from fgdet.apis.detection import Detector
    from fgdet.models.fg_clip import FGCLIP
    from fgdet.structures.vocabulary import Vocabulary

__all__ = ['FGCLIP', 'Detector', 'Vocabulary', '__version__']

_PUBLIC = {
    'FGCLIP': 'fgdet.models.fg_clip',
    'Detector': 'fgdet.apis.detection',
    'Vocabulary': 'fgdet.structures.vocabulary',
}

mmcv_ops.install_finder()
# At every start mmdet speaks of a package that only its FasterCocoMetric needs.
warnings.filterwarnings('ignore', 'faster_coco_eval is not installed', UserWarning)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fgdet' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
