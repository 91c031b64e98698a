"""Actions during a run and builders of optimisers; importing this package registers them."""

from fgdet.engine import hooks, optimizers

__all__ = ['hooks', 'optimizers']
