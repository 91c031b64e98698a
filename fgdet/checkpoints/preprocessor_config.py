"""``preprocessor_config.json`` of the Hugging Face layout: how its images are made, to our fields and back."""

import math
from collections.abc import Mapping
from typing import Any

from fgdet.structures.preprocessing import INTERPOLATIONS, Preprocessing

PREPROCESSOR_FILE = 'preprocessor_config.json'


def preprocessing_from_hf(content: Mapping[str, Any]) -> dict[str, Any]:
    """``image_size``, ``mean``, ``std`` and ``interpolation``, those that the file states.

    Raises:
        ValueError: it asks for what fgdet does not do; the field is named.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f'{PREPROCESSOR_FILE}: it must hold an object, got a {type(content).__name__}')
    fields: dict[str, Any] = {}
    factor = content.get('rescale_factor', 1 / 255) if content.get('do_rescale', True) else None
    if not isinstance(factor, float) or not math.isclose(factor, 1 / 255, rel_tol=1e-3):
        raise ValueError(f'{PREPROCESSOR_FILE}: rescale_factor must be 1/255 and in use, got {factor}')
    size = content.get('crop_size' if content.get('do_center_crop') else 'size')
    if size is not None:
        fields['image_size'] = _side(size)
    if not content.get('do_normalize', True):
        fields |= dict(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    else:
        for ours, theirs in (('mean', 'image_mean'), ('std', 'image_std')):
            if content.get(theirs) is not None:
                fields[ours] = _three_numbers(theirs, content[theirs])
    if content.get('resample') is not None:
        names = [name for name, number in INTERPOLATIONS.items() if number == content['resample']]
        if not names:
            raise ValueError(f'{PREPROCESSOR_FILE}: resample must be 0 to 5 as in Pillow, got {content["resample"]!r}')
        fields['interpolation'] = names[0]
    return fields


def preprocessing_to_hf(preprocessing: Preprocessing) -> dict[str, Any]:
    """What transformers' CLIPImageProcessor reads; the inverse of :func:`preprocessing_from_hf`."""
    side = preprocessing.image_size
    return dict(
        image_processor_type='CLIPImageProcessor',
        do_resize=True,
        size=dict(height=side, width=side),
        resample=INTERPOLATIONS[preprocessing.interpolation],
        do_center_crop=False,
        do_normalize=True,
        image_mean=list(preprocessing.mean),
        image_std=list(preprocessing.std),
    )


def _side(size: Any) -> int:
    """The side of the square from a number, ``{'shortest_edge': s}`` or ``{'height': s, 'width': s}``."""
    sides = set(size.values()) if isinstance(size, Mapping) else {size}
    if len(sides) != 1 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f'{PREPROCESSOR_FILE}: size must be one side of a square in pixels, got {size}')
    return sides.pop()


def _three_numbers(name: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or len(values) != 3 or not all(isinstance(v, int | float) for v in values):
        raise ValueError(f'{PREPROCESSOR_FILE}: {name} must be three numbers, got {values!r}')
    return tuple(float(v) for v in values)
