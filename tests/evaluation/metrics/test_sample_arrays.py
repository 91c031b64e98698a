"""Tensors of samples as arrays."""

import numpy as np
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from fgdet.evaluation.metrics.sample_arrays import own_array, to_array


def test_to_array__of_tensors_arrays_and_lists() -> None:
    half = torch.tensor([0.5, -2.0], dtype=torch.bfloat16, requires_grad=True)
    assert to_array(half).dtype == np.float32 and to_array(half).tolist() == [0.5, -2.0]
    masks = np.eye(3, dtype=bool)[None]
    assert to_array(HorizontalBoxes(torch.ones(2, 4))).tolist() == [[1] * 4] * 2
    assert to_array(BitmapMasks(masks, 3, 3)).tolist() == masks.tolist()
    assert to_array(torch.tensor([2**40])).tolist() == [2**40] and to_array([1, 2]).tolist() == [1, 2]


def test_own_array__does_not_follow_the_batch() -> None:
    batch = torch.zeros(4, 3)
    row, view = own_array(batch[0]), to_array(batch[0])
    batch += 1
    assert row.tolist() == [0, 0, 0] and view.tolist() == [1, 1, 1]
