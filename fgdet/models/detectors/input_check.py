"""Whether a detector prepares its images as its tower was trained to see them."""

from collections.abc import Mapping, Sequence

from torch import nn

from fgdet.structures.preprocessing import Preprocessing, check_preprocessing
from fgdet.utils.checks import UserError


def check_input(preprocessor: nn.Module, wanted: Mapping[str, Sequence[float]]) -> None:
    """Refuse a preprocessor that normalises otherwise than the weights want, or hands on blue before red.

    Args:
        preprocessor: mmdet's ``DetDataPreprocessor``, or one with its fields; others pass.
        wanted: ``mean`` and ``std`` of RGB in 0..1.

    Raises:
        UserError: a field differs; it is named, with what the weights want.
    """
    if not hasattr(preprocessor, '_enable_normalize'):
        return
    if not preprocessor._channel_conversion:
        raise UserError(
            'model.data_preprocessor.bgr_to_rgb: the tower wants RGB and images are read as BGR; set it to True'
        )
    mean, std = [0.0] * 3, [1 / 255] * 3
    if preprocessor._enable_normalize:
        mean, std = ((getattr(preprocessor, name).flatten() / 255).tolist() for name in ('mean', 'std'))
    trained = Preprocessing(0, tuple(wanted['mean']), tuple(wanted['std']), 0, 0)  # sizes are not looked at
    check_preprocessing(trained, 'set model.data_preprocessor.{field} to 255 times that', mean=mean, std=std)
