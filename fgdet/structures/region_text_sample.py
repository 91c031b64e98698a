"""One image's texts and regions on their way from the dataset to the losses.

Axes: R regions, M regions with hard negatives, T hard-negative texts of all groups, L tokens.
"""

from mmengine.structures import BaseDataElement
from torch import Tensor


class RegionTextSample(BaseDataElement):
    """What belongs to one training image beside its pixels.

    Tensor fields (all present; R, M and T may be 0):

    - ``long_ids``: (248,) int64, token ids of the long caption.
    - ``short_ids``: (77,) int64, token ids of the short caption.
    - ``boxes``: (R, 4) float32, xyxy in pixels of the image that the model gets.
    - ``region_ids``: (R, 77) int64, a phrase for each box.
    - ``hard_regions``: (M,) int64, which boxes have hard negatives.
    - ``hard_ids``: (T, 77) int64, group after group: the phrase that fits, then those that do not.
    - ``hard_sizes``: (M,) int64, texts in each group; they sum to T.

    Meta fields: ``key`` names the record in messages; ``img_shape`` and ``ori_shape`` are (h, w); ``skipped`` lists the
    :class:`SkippedRecord` s that were passed over before this sample was found.
    """

    long_ids: Tensor
    short_ids: Tensor
    boxes: Tensor
    region_ids: Tensor
    hard_regions: Tensor
    hard_ids: Tensor
    hard_sizes: Tensor


class BadRecord(ValueError):
    """A record that cannot be trained on; the message says why."""
