"""RoIAlignPooler against FG-CLIP's own region features, hand-worked means and torchvision."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchvision.ops import roi_align

from fgdet.models.region_poolers import RoIAlignPooler
from fgdet.registry import MODELS

REFERENCE = Path(__file__).parents[2] / 'data' / 'fgclip_v1_tiny' / 'reference.safetensors'


def test_forward__official_region_features():
    stored = load_file(REFERENCE)
    dense = stored['image_dense_features'].unflatten(1, (4, 4)).permute(0, 3, 1, 2)  # (3, 32, 4, 4)
    image = stored['roi.boxes_pixel'][:, 0].long()
    boxes = [stored['roi.boxes_pixel'][image == index, 1:] for index in range(3)]
    expected = torch.cat([stored['roi.features'][image == index] for index in range(3)])
    pooled = RoIAlignPooler()(dense, boxes, 16)
    torch.testing.assert_close(pooled, expected, atol=1e-5, rtol=0)


def test_forward__rows_and_columns_of_different_stride():
    dense = torch.arange(8.0).reshape(1, 1, 2, 4)
    boxes = [torch.tensor([[20.0, 0.0, 40.0, 5.0], [0.0, 5.0, 10.0, 10.0], [0.0, 0.0, 40.0, 10.0]])]
    # Cells of 5 rows and 10 columns of pixels: 2 and 3 of row 0; 4 of row 1; all.
    assert RoIAlignPooler()(dense, boxes, (5.0, 10.0)).tolist() == [[2.5], [4.0], [3.5]]


@pytest.mark.parametrize('implementation', ['auto', 'separable', 'torchvision'])
def test_forward__mean_of_several_bins(implementation):
    dense = torch.randn(2, 3, 6, 6)
    boxes = [torch.tensor([[3.0, 4.0, 60.0, 71.0]]), torch.tensor([[0.0, 0.0, 30.0, 30.0], [50.0, 5.0, 100.0, 40.0]])]
    pooled = RoIAlignPooler((2, 3), 2, False, implementation)(dense, boxes, 12)
    bins = roi_align(dense, [b / 12 for b in boxes], (2, 3), 1.0, 2, False)
    torch.testing.assert_close(pooled, bins.mean((2, 3)))


def test_forward__bfloat16_rounds_once():
    dense = torch.randn(1, 5, 8, 8).bfloat16()
    boxes = [torch.tensor([[10.0, 3.0, 90.0, 77.0]])]
    for output_size in (1, 3):
        pooler = RoIAlignPooler(output_size)
        assert torch.equal(pooler(dense, boxes, 16), pooler(dense.float(), boxes, 16).bfloat16())


def test_forward__integer_boxes_and_small_strides():
    dense = torch.randn(1, 2, 8, 8)
    boxes = torch.tensor([[0, 1, 3, 4]])
    assert torch.equal(RoIAlignPooler()(dense, [boxes], 0.5), RoIAlignPooler()(dense, [boxes.float()], 0.5))
    torch.testing.assert_close(RoIAlignPooler()(dense, [boxes], 0.5), dense[:, :, 2:8, 0:6].mean((2, 3)))


def test_forward__no_boxes_and_no_area():
    dense = torch.randn(2, 3, 4, 4, requires_grad=True)
    assert RoIAlignPooler()(dense, [torch.zeros(0, 4)] * 2, 16).shape == (0, 3)
    assert not RoIAlignPooler()(dense, [torch.zeros(0, 4), torch.tensor([[8.0, 8.0, 8.0, 20.0]])], 16).any()


def test_forward__bad_boxes():
    dense = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match='one tensor for each of the 2 images, got 1'):
        RoIAlignPooler()(dense, [torch.zeros(1, 4)], 16)
    with pytest.raises(ValueError, match=r'expected 2 tensors \(N, 4\), got \[\(1, 4\), \(1, 5\)\]'):
        RoIAlignPooler()(dense, [torch.zeros(1, 4), torch.zeros(1, 5)], 16)


def test_registry__builds_it_by_name():
    pooler = MODELS.build(dict(type='fgdet.RoIAlignPooler', output_size=2))
    assert isinstance(pooler, RoIAlignPooler)
    assert 'output_size=2, sampling_ratio=-1, aligned=True' in repr(pooler)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [-1, 1, 3])
@pytest.mark.parametrize('output_size', [1, (3, 2)])
def test_touched__no_cell_outside_of_it_has_a_gradient(
    aligned: bool, sampling_ratio: int, output_size: int | tuple[int, int]
) -> None:
    torch.manual_seed(0)
    pooler = RoIAlignPooler(output_size, sampling_ratio, aligned)
    touched_cells = all_cells = 0
    for trial in range(40):
        h, w = (int(n) for n in torch.randint(1, 12, (2,)))
        sides = torch.tensor([w, h], dtype=torch.float32) * 16
        corners = (torch.rand(4, 2, 2) * 1.6 - 0.3) * sides  # beyond the borders too
        if trial % 4 == 0:
            corners = (corners / 16).round() * 16
        if trial % 4 == 1:
            corners[:, 1] = corners[:, 0] + torch.rand(4, 2)  # smaller than a cell, or empty
        boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1).split([3, 1])
        dense = torch.randn(2, 2, h, w, requires_grad=True)
        (gradient,) = torch.autograd.grad(pooler(dense, boxes, 16).sum(), dense)
        touched = pooler.touched(boxes, (h, w), 16)
        assert not (gradient.ne(0).any(1) & ~touched).any()
        touched_cells, all_cells = touched_cells + int(touched[1].sum()), all_cells + h * w
    assert touched_cells < 0.7 * all_cells  # it does tell something: the one box of the second image covers less
    assert not pooler.touched([torch.zeros(0, 4)], (3, 4), 16).any()
