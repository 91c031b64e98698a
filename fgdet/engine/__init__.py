"""Actions during a run; importing this package registers them."""

from fgdet.engine import hooks

__all__ = ['hooks']
