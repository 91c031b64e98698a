"""Each scale against its definition."""

import pytest
import torch
import torch.nn.functional as F

from fgdet.models.necks.simple_feature_pyramid import SimpleFeaturePyramid


def normed(features: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(features.permute(0, 2, 3, 1), features.shape[1:2]).permute(0, 3, 1, 2)


def test_forward__scales_and_channels_are_those_declared() -> None:
    neck = SimpleFeaturePyramid(16)
    outputs = neck([torch.randn(2, 16, 6, 4) for _ in range(4)])
    assert [tuple(each.shape) for each in outputs] == [(2, 4, 24, 16), (2, 8, 12, 8), (2, 16, 6, 4), (2, 16, 3, 2)]
    assert neck.out_channels == [each.shape[1] for each in outputs]


def test_forward__each_map_goes_to_its_own_scale() -> None:
    neck, maps = SimpleFeaturePyramid(4, scales=(1, 0.5)), [torch.randn(1, 4, 4, 6), torch.randn(1, 4, 4, 6)]
    same, half = neck(maps)
    torch.testing.assert_close(same, normed(maps[0]))
    torch.testing.assert_close(half, F.max_pool2d(normed(maps[1]), 2))


def test_scale_2__is_one_matrix_for_each_place_in_a_cell() -> None:
    neck, features = SimpleFeaturePyramid(4, scales=(2,)), torch.randn(1, 4, 3, 2)
    (output,) = neck([features])
    weight, bias = neck.levels[0][1].weight, neck.levels[0][1].bias  # type: ignore[index]  # (4, 2, 2, 2), (2,)
    for y in range(6):
        for x in range(4):
            expected = normed(features)[0, :, y // 2, x // 2] @ weight[:, :, y % 2, x % 2] + bias
            torch.testing.assert_close(output[0, :, y, x], expected)


def test_gradient__reaches_every_parameter() -> None:
    neck = SimpleFeaturePyramid(8)
    sum(each.square().sum() for each in neck([torch.randn(1, 8, 4, 4) for _ in range(4)])).backward()
    assert all(parameter.grad is not None for parameter in neck.parameters())


def test_refuses__an_unknown_scale_and_a_wrong_number_of_maps() -> None:
    with pytest.raises(ValueError, match=r'scales: expected some of 4, 2, 1, 0\.5, got'):
        SimpleFeaturePyramid(8, scales=(3,))
    with pytest.raises(ValueError, match='expected 2 maps, one for each scale, or a single one, got 3'):
        SimpleFeaturePyramid(8, scales=(2, 1))([torch.randn(1, 8, 4, 4)] * 3)


def test_one_map__serves_every_scale() -> None:
    neck, features = SimpleFeaturePyramid(8), torch.randn(1, 8, 4, 6)
    for ours, theirs in zip(neck([features]), neck([features] * 4), strict=True):
        assert torch.equal(ours, theirs)


def test_scale_half__an_odd_map_keeps_its_last_row_and_column() -> None:
    features = torch.randn(1, 4, 5, 3)
    (half,) = SimpleFeaturePyramid(4, scales=(0.5,))([features])
    assert half.shape[2:] == (3, 2)
    for y in range(3):
        for x in range(2):
            cell = normed(features)[0, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            torch.testing.assert_close(half[0, :, y, x], cell.amax((1, 2)))
