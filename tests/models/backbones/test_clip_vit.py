"""The tower as a backbone: what it gives, what stays frozen, where its weights come from."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fgdet.models.backbones.clip_vit import CLIPViTBackbone
from fgdet.utils.checks import UserError
from fgdet.utils.resampling import interpolate_grid
from tests import naive
from tests.builders import TINY_VISION, tiny_clip


def tiny_backbone(**options: object) -> CLIPViTBackbone:
    torch.manual_seed(0)
    return CLIPViTBackbone(vision=TINY_VISION, out_indices=(0, 1), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize('size', [(32, 32), (16, 40)])
def test_forward__gives_the_towers_blocks_and_dense_map(size: tuple[int, int]) -> None:
    backbone, pixels = tiny_backbone(), torch.randn(2, 3, *size)
    expected = backbone.visual.forward_intermediates(pixels, indices=(0, 1))
    first, second, dense = backbone(pixels)
    assert torch.equal(first, expected.intermediates[0])
    assert torch.equal(second, expected.intermediates[1])
    assert expected.dense is not None
    assert torch.equal(dense, expected.dense)
    assert dense.shape[-2:] == first.shape[-2:] == (size[0] // 8, size[1] // 8)


def test_forward__without_the_dense_map() -> None:
    backbone, pixels = tiny_backbone(), torch.randn(1, 3, 32, 32)
    assert all(torch.equal(a, b) for a, b in zip(backbone(pixels, dense=False), backbone(pixels)[:2], strict=True))
    assert len(backbone(pixels, dense=False)) == 2


def test_frozen__takes_no_gradient_and_stays_in_eval_mode() -> None:
    backbone = tiny_backbone()
    backbone.train()
    assert backbone.training and not any(module.training for module in backbone.visual.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    pixels = torch.randn(1, 3, 32, 32, requires_grad=True)
    assert not any(output.requires_grad for output in backbone(pixels))


def test_not_frozen__all_that_leads_to_a_tap_learns() -> None:
    backbone = tiny_backbone(frozen=False)
    backbone.train()
    assert all(module.training for module in backbone.modules())
    sum(output.square().sum() for output in backbone(torch.randn(1, 3, 32, 32))[:2]).backward()
    still = {'visual.post_norm.weight', 'visual.post_norm.bias', 'visual.projection.weight'}
    assert {name for name, parameter in backbone.named_parameters() if parameter.grad is None} == still


def test_init_weights__loads_the_image_tower_of_a_checkpoint(tmp_path: Path) -> None:
    clip = tiny_clip(seed=5)
    clip.save_pretrained(tmp_path)
    backbone = tiny_backbone(checkpoint=str(tmp_path))
    pixels = torch.randn(1, 3, 32, 32)
    assert not torch.allclose(backbone(pixels)[-1], clip.encode_dense(pixels))
    backbone.init_weights()
    torch.testing.assert_close(backbone(pixels)[-1], clip.encode_dense(pixels))


def test_init_weights__names_the_sizes_that_do_not_fit(tmp_path: Path) -> None:
    tiny_clip(vision=dict(width=48, num_heads=4)).save_pretrained(tmp_path)
    message = "its visual tower has width=48, num_heads=4, and the config's has width=32, num_heads=2; give the config"
    with pytest.raises(UserError, match=message):
        tiny_backbone(checkpoint=str(tmp_path)).init_weights()


def test_out_indices__refuses_a_block_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r'out_indices: expected blocks in 0..1, got \(0, 2\)'):
        CLIPViTBackbone(vision=TINY_VISION, out_indices=(0, 2))


@pytest.mark.parametrize('size', [(8, 8), (24, 56), (40, 8), (56, 24)])
def test_forward__any_size_and_aspect_equals_the_written_out_tower(size: tuple[int, int]) -> None:
    backbone, pixels = tiny_backbone().double(), torch.randn(1, 3, *size, dtype=torch.float64)
    first, second, dense = backbone(pixels)
    native = tiny_backbone().double().visual  # the loops know no other size than the table's own
    grid = (size[0] // 8, size[1] // 8)
    native.position_embedding = nn.Parameter(interpolate_grid(native.position_embedding, grid))
    torch.testing.assert_close(dense[0], naive.vision(native, pixels[0])[1], rtol=0, atol=1e-11)
    hidden = native.embed(pixels)[0][0] if grid == (4, 4) else backbone.visual.embed(pixels)[0][0]
    for block, output in zip(native.blocks, (first, second), strict=True):
        hidden = naive.block_output(block, hidden)
        torch.testing.assert_close(output[0], hidden[1:].T.reshape(-1, *grid), rtol=0, atol=1e-11)


@pytest.mark.parametrize('shape', [(1, 3, 32, 33), (1, 3, 31, 32), (1, 3, 0, 32), (3, 32, 32), (1, 1, 32, 32)])
def test_forward__refuses_what_the_patch_does_not_divide(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r'multiples of the patch size 8, got .*set data_preprocessor.pad_size_divisor'
    ):
        tiny_backbone()(torch.zeros(shape))


def deep(**options: object) -> CLIPViTBackbone:
    """Four blocks, of which the third is the last that is tapped."""
    torch.manual_seed(0)
    vision = TINY_VISION | dict(num_layers=4)
    return CLIPViTBackbone(vision=vision, out_indices=(0, 2), **options)  # type: ignore[arg-type]


def learn(backbone: CLIPViTBackbone) -> CLIPViTBackbone:
    """Change all that learns."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return backbone


PARTIAL = [dict(unfreeze_last=2), dict(lora=dict(rank=3)), dict(unfreeze_last=1, lora=dict(rank=2, targets=['fc1']))]


@pytest.mark.parametrize(
    ('options', 'blocks', 'part'),
    [(PARTIAL[0], {'1', '2'}, ''), (PARTIAL[1], {'0', '1', '2'}, 'attention'), (PARTIAL[2], {'2'}, 'mlp.fc1')],
)
def test_partial__those_blocks_learn_and_nothing_before_them_keeps_a_graph(
    options: dict[str, Any], blocks: set[str], part: str
) -> None:
    backbone = deep(**options).train()
    pixels = torch.randn(1, 3, 32, 32, requires_grad=True)
    first, third, dense = backbone(pixels)
    assert first.requires_grad == ('0' in blocks) and third.requires_grad and not dense.requires_grad
    third.square().sum().backward()
    assert pixels.grad is None
    learned = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert learned == {name for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    assert {name.split('.')[2] for name in learned} == blocks and all(part in name for name in learned)
    assert {str(i) for i, block in enumerate(backbone.visual.blocks) if block.training} == blocks
    assert not any(block.training for block in backbone.frozen_blocks.values())


def test_partial__gradients_are_those_of_the_whole_tower() -> None:
    pixels = torch.randn(2, 3, 32, 32)
    whole, part = deep(frozen=False), deep(unfreeze_last=2)
    for backbone in (whole, part):
        sum(output.square().sum() for output in backbone(pixels, dense=False)).backward()
    theirs = dict(whole.named_parameters())
    for name, parameter in part.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=0, atol=0)


@pytest.mark.parametrize('options', PARTIAL)
def test_partial__the_dense_map_stays_that_of_the_original_weights(options: dict[str, Any]) -> None:
    pixels = torch.randn(1, 3, 24, 40)
    *before, dense = deep()(pixels)
    same = deep(**options)
    assert all(torch.equal(a, b) for a, b in zip(same(pixels), (*before, dense), strict=True))
    *after, still = learn(same)(pixels)
    assert torch.equal(still, dense)
    assert not torch.allclose(after[1], before[1], atol=1e-2)


@pytest.mark.parametrize('options', PARTIAL)
def test_partial__a_checkpoint_loads_and_so_does_that_of_a_frozen_tower(options: dict[str, Any]) -> None:
    pixels = torch.randn(1, 3, 32, 32)
    learned, other = learn(deep(**options)), deep(**options)
    nn.ModuleDict(dict(backbone=other)).load_state_dict(nn.ModuleDict(dict(backbone=learned)).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(other(pixels), learned(pixels), strict=True))

    torch.manual_seed(7)
    frozen = CLIPViTBackbone(vision=TINY_VISION | dict(num_layers=4), out_indices=(0, 2))
    fresh = deep(**options)
    missing, unexpected = fresh.load_state_dict(frozen.state_dict(), strict=False)
    assert not unexpected and all('.parametrizations.weight.0.' in name for name in missing)
    assert all(torch.equal(a, b) for a, b in zip(fresh(pixels), frozen(pixels), strict=True))


@pytest.mark.parametrize('options', PARTIAL)
def test_init_weights__reaches_adapters_and_original_blocks(options: dict[str, Any], tmp_path: Path) -> None:
    clip = tiny_clip(seed=5, vision=dict(num_layers=4))
    clip.save_pretrained(tmp_path)
    backbone, pixels = deep(checkpoint=str(tmp_path), **options), torch.randn(1, 3, 32, 32)
    assert backbone.preprocessing is None
    backbone.init_weights()
    expected = clip.visual.forward_intermediates(pixels, indices=(0, 2))
    for ours, theirs in zip(backbone(pixels), (*expected.intermediates, expected.dense), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    assert backbone.preprocessing == dict(mean=clip.preprocessing.mean, std=clip.preprocessing.std)


def test_merge_lora__same_outputs_and_a_state_for_unfrozen_blocks() -> None:
    pixels = torch.randn(1, 3, 24, 32)
    backbone = learn(deep(lora=dict(rank=3), unfreeze_last=2))
    expected = backbone(pixels)
    backbone.merge_lora()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    plain = deep(unfreeze_last=2)
    plain.load_state_dict(backbone.state_dict())
    for merged in (backbone, plain):
        for ours, theirs in zip(merged(pixels), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert torch.equal(plain(pixels)[-1], expected[-1])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(unfreeze_last=4), r'unfreeze_last: expected 0\.\.3, the blocks up to the last tap, got 4'),
        (dict(frozen=False, unfreeze_last=1), 'frozen=False lets the whole tower learn'),
        (dict(lora=dict(rank=2, tragets=['fc1'])), r"lora: expected rank and optionally .*'tragets'"),
        (dict(lora=dict(alpha=2)), 'lora: expected rank'),
        (dict(lora=dict(rank=2, targets=['fc3'])), "LoRA targets must end names .* got .'fc3'"),
    ],
)
def test_partial__refuses_what_contradicts_itself(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        deep(**options)
