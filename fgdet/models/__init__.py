"""Every registered part of a model. Importing this package fills the registry."""

from fgdet.models import encoders, losses

__all__ = ['encoders', 'losses']
