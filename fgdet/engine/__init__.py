"""Actions during a run, builders of optimisers and ways to spread a model; importing this package registers them."""

from fgdet.engine import hooks, optimizers, strategies

__all__ = ['hooks', 'optimizers', 'strategies']
