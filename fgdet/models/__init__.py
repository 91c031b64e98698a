"""Registered parts of a model. Importing this package registers those that need no mmdet.

The heads and detectors that build on mmdet's are further locations of the registry, so that pretraining and
:class:`fgdet.FGCLIP` never load it.
"""

from fgdet.models import (
    backbones,
    classifiers,
    data_preprocessors,
    encoders,
    fg_clip,
    losses,
    necks,
    post_processing,
    pretrainers,
)

__all__ = [
    'backbones',
    'classifiers',
    'data_preprocessors',
    'encoders',
    'fg_clip',
    'losses',
    'necks',
    'post_processing',
    'pretrainers',
]
