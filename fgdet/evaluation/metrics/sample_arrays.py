"""What a model puts into samples, as arrays."""

from typing import Any

import numpy as np


def to_array(values: Any) -> np.ndarray:
    """Return a tensor on any device, an array or a list as an array; floats of a tensor as float32.

    mmdet's containers of boxes and of masks are taken as well.
    """
    for content in ('tensor', 'masks'):
        values = getattr(values, content, values)
    if hasattr(values, 'detach'):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return np.asarray(values)


def own_array(values: Any) -> np.ndarray:
    """:func:`to_array`, not a view that would keep a whole batch alive."""
    return np.array(to_array(values))
