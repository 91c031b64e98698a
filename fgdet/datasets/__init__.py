"""Sources of samples; importing this package registers them."""

from fgdet.datasets import shapes_world

__all__ = ['shapes_world']
