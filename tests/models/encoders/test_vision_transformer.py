"""The image tower against itself written out, and against the official code's numbers."""

import pytest
import torch
from torch import Tensor

from fgdet.models.encoders.vision_transformer import VisionTransformer
from fgdet.utils.resampling import interpolate_grid
from tests import naive
from tests.builders import TINY_VISION, official_model, official_tensors

SIZES = ['96x96', '48x48', '48x80', '32x128', '70x70']


@pytest.fixture
def encoder() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(**TINY_VISION)


@pytest.fixture(scope='module')
def official() -> VisionTransformer:
    return official_model().visual


def rows(dense: Tensor) -> Tensor:
    return dense.flatten(2).transpose(1, 2)  # (B, d, h, w) -> (B, h * w, d)


def test_features__equal_the_written_out_tower(encoder: VisionTransformer) -> None:
    encoder = encoder.double()
    pixels = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    pooled, dense, _ = encoder.forward_intermediates(pixels, pooled=True)
    for i, image in enumerate(pixels):
        expected_pooled, expected_dense = naive.vision(encoder, image)
        torch.testing.assert_close(pooled[i], expected_pooled, rtol=0, atol=1e-12)
        torch.testing.assert_close(dense[i], expected_dense, rtol=0, atol=1e-12)
    torch.testing.assert_close(encoder(pixels), pooled, rtol=0, atol=1e-14)


@torch.no_grad()
def test_features__equal_the_official_ones(official: VisionTransformer) -> None:
    recorded = official_tensors()
    pooled, dense, blocks = official.forward_intermediates(recorded['pixel_values'], (0, 1, 2), pooled=True)
    torch.testing.assert_close(pooled, recorded['image_features'], rtol=0, atol=1e-5)
    torch.testing.assert_close(rows(dense), recorded['image_dense_features'], rtol=0, atol=2e-5)
    for i, output in enumerate(blocks):  # recorded state 0 is what enters block 0
        patches = recorded[f'vision_hidden_states.{i + 1}'][:, 1:]
        torch.testing.assert_close(rows(output), patches, rtol=0, atol=2e-5)


@torch.no_grad()
@pytest.mark.parametrize('size', SIZES)
def test_features__equal_the_official_ones_at_other_sizes(official: VisionTransformer, size: str) -> None:
    recorded = official_tensors()
    pixels = recorded[f'interp_{size}.pixel_values']
    pooled, dense, _ = official.forward_intermediates(pixels, pooled=True)
    assert dense.shape[2:] == (pixels.shape[2] // 16, pixels.shape[3] // 16)
    torch.testing.assert_close(pooled, recorded[f'interp_{size}.image_features'], rtol=0, atol=1e-5)
    torch.testing.assert_close(rows(dense), recorded[f'interp_{size}.image_dense_features'], rtol=0, atol=2e-5)


@pytest.mark.parametrize('size_hw', [(8, 8), (8, 40), (72, 16), (35, 33)])
def test_dense__any_size_gives_a_map_whose_position_table_learns(
    encoder: VisionTransformer, size_hw: tuple[int, int]
) -> None:
    dense = encoder.forward_intermediates(torch.randn(1, 3, *size_hw)).dense
    assert dense.shape == (1, 16, size_hw[0] // 8, size_hw[1] // 8)
    dense.square().sum().backward()
    assert encoder.position_embedding.grad.abs().sum(1).gt(0).sum() > 1


@pytest.mark.parametrize('checkpointing', [False, True])
def test_patches__those_wanted_are_the_same_and_the_others_zero(
    encoder: VisionTransformer, checkpointing: bool
) -> None:
    encoder.gradient_checkpointing = checkpointing
    pixels = torch.randn(2, 3, 24, 32)
    patches = torch.rand(2, 3, 4) < 0.4
    patches[1] = False
    whole = encoder.forward_intermediates(pixels, pooled=True)
    some = encoder.forward_intermediates(pixels, pooled=True, patches=patches)
    torch.testing.assert_close(some.pooled, whole.pooled, rtol=0, atol=1e-6)
    torch.testing.assert_close(some.dense, whole.dense * patches[:, None], rtol=0, atol=1e-6)
    weight = torch.randn_like(whole.dense) * patches[:, None]
    gradients = [
        torch.autograd.grad((each.dense * weight).sum() + each.pooled.sum(), list(encoder.parameters()))
        for each in (whole, some)
    ]
    for theirs, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5 * max(1.0, float(theirs.abs().max())))


def test_intermediates__come_in_the_order_asked_for(encoder: VisionTransformer) -> None:
    pixels = torch.randn(1, 3, 32, 32)
    pooled, dense, blocks = encoder.forward_intermediates(pixels, (-1, 0, 1), dense=False)
    assert pooled is None and dense is None
    torch.testing.assert_close(blocks[0], blocks[2], rtol=0, atol=0)
    hidden = encoder.blocks[0](encoder.embed(pixels)[0])
    torch.testing.assert_close(rows(blocks[1]), hidden[:, 1:], rtol=0, atol=0)
    torch.testing.assert_close(rows(blocks[0]), encoder.blocks[1](hidden)[:, 1:], rtol=0, atol=0)


@pytest.mark.parametrize('index', [2, -3])
def test_intermediates__index_out_of_range(encoder: VisionTransformer, index: int) -> None:
    with pytest.raises(ValueError, match=f'block index {index} is out of range for 2 blocks'):
        encoder.forward_intermediates(torch.zeros(1, 3, 32, 32), (index,))


def test_features__no_image(encoder: VisionTransformer) -> None:
    pooled, dense, _ = encoder.forward_intermediates(torch.zeros(0, 3, 32, 32), pooled=True)
    assert pooled.shape == (0, 16) and dense.shape == (0, 16, 4, 4)


def test_features__an_image_does_not_depend_on_its_batch(encoder: VisionTransformer) -> None:
    pixels = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(encoder(pixels)[1:2], encoder(pixels[1:2]), rtol=0, atol=1e-6)


def test_gradient_checkpointing__gives_identical_gradients() -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = VisionTransformer(**TINY_VISION, gradient_checkpointing=checkpointing)
        pooled, dense, _ = encoder.forward_intermediates(torch.randn(2, 3, 32, 48), pooled=True)
        (pooled.square().sum() + dense.square().sum()).backward()
        gradients.append([p.grad for p in encoder.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@torch.no_grad()
def test_features__bfloat16(official: VisionTransformer) -> None:
    pixels = official_tensors()['pixel_values']
    with torch.autocast('cpu', torch.bfloat16):
        pooled, dense, _ = official.forward_intermediates(pixels, pooled=True)
    exact = official.forward_intermediates(pixels, pooled=True)
    # Eight bits of mantissa through three blocks: about a hundredth of the feature's length.
    assert (pooled - exact.pooled).norm(dim=1).max() < 0.03 * exact.pooled.norm(dim=1).min()
    assert (dense - exact.dense).norm(dim=1).max() < 0.05 * exact.dense.norm(dim=1).min()


def test_position_table__native_size_is_the_parameter_itself(encoder: VisionTransformer) -> None:
    assert interpolate_grid(encoder.position_embedding, (4, 4)) is encoder.position_embedding


def test_sizes__patch_must_divide_the_image() -> None:
    with pytest.raises(ValueError, match='image_size=30, patch_size=8'):
        VisionTransformer(**(TINY_VISION | dict(image_size=30)))


def windowed(**options: object) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(**(TINY_VISION | dict(num_layers=4) | options)).double()  # type: ignore[arg-type]


@pytest.mark.parametrize('checkpointing', [False, True])
def test_windows__equal_a_loop_over_windows(checkpointing: bool) -> None:
    encoder = windowed(window_size=2, global_blocks=(1,), gradient_checkpointing=checkpointing)
    pixels = torch.randn(1, 3, 24, 40, dtype=torch.float64)  # 3 x 5 patches: windows of 2, 2, 1 in a row
    _, dense, maps = encoder.forward_intermediates(pixels, indices=range(4))
    hidden = encoder.embed(pixels)[0][0]  # (16, D)
    before_last = hidden
    for index, block in enumerate(encoder.blocks):
        before_last = hidden
        if index == 1:
            hidden = naive.block_output(block, hidden)
        else:
            whole = naive.block_output(block, hidden)  # right for the class token, which sees everything
            hidden = torch.cat([whole[:1], torch.zeros_like(hidden[1:])])
            for top in range(0, 3, 2):
                for left in range(0, 5, 2):
                    patches = [
                        1 + y * 5 + x for y in range(top, min(top + 2, 3)) for x in range(left, min(left + 2, 5))
                    ]
                    hidden[patches] = naive.block_output(block, before_last[[0, *patches]])[1:]
        torch.testing.assert_close(rows(maps[index])[0], hidden[1:], rtol=0, atol=1e-10)
    expected = naive.block_output_without_attention(encoder.blocks[-1], before_last[1:])
    expected = encoder.projection(encoder.post_norm(expected))
    torch.testing.assert_close(rows(dense)[0], expected, rtol=0, atol=1e-10)


def test_windows__as_large_as_the_map_change_nothing() -> None:
    pixels = torch.randn(2, 3, 24, 40, dtype=torch.float64)
    expected = windowed().forward_intermediates(pixels, range(4), pooled=True)
    for options in (dict(window_size=5, global_blocks=()), dict(window_size=1, global_blocks=range(4))):
        given = windowed(**options).forward_intermediates(pixels, range(4), pooled=True)
        for ours, theirs in zip(given.intermediates, expected.intermediates, strict=True):
            assert torch.equal(ours, theirs)
        assert torch.equal(given.dense, expected.dense) and torch.equal(given.pooled, expected.pooled)


@pytest.mark.parametrize(('num_layers', 'expected'), [(12, [2, 5, 8, 11]), (24, [5, 11, 17, 23]), (3, [0, 1, 2])])
def test_windows__global_blocks_are_the_last_of_each_quarter(num_layers: int, expected: list[int]) -> None:
    encoder = VisionTransformer(**(TINY_VISION | dict(num_layers=num_layers)), window_size=14)
    assert encoder.global_blocks == expected


def test_windows__refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match='window_size: expected at least 1 patch, or None for global attention, got 0'):
        VisionTransformer(**TINY_VISION, window_size=0)
    with pytest.raises(ValueError, match='global_blocks: without window_size every block is global'):
        VisionTransformer(**TINY_VISION, global_blocks=(1,))
    with pytest.raises(ValueError, match='block index 2 is out of range for 2 blocks'):
        VisionTransformer(**TINY_VISION, window_size=7, global_blocks=(2,))


def test_intermediates__blocks_that_lead_to_none_are_not_run(encoder: VisionTransformer) -> None:
    pixels = torch.randn(1, 3, 32, 32)
    expected = encoder.forward_intermediates(pixels, (0,)).intermediates[0]
    encoder.blocks[1] = None  # type: ignore[assignment]
    assert torch.equal(encoder.forward_intermediates(pixels, (0,), dense=False).intermediates[0], expected)
