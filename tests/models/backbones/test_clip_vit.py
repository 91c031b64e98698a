"""The tower as a backbone: what it gives, what stays frozen, where its weights come from."""

from pathlib import Path

import pytest
import torch

from fgdet.models.backbones.clip_vit import CLIPViTBackbone
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


def test_not_frozen__every_tapped_parameter_learns() -> None:
    backbone = tiny_backbone(frozen=False)
    backbone.train()
    assert all(module.training for module in backbone.modules())
    sum(output.square().sum() for output in backbone(torch.randn(1, 3, 32, 32))).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_init_weights__loads_the_image_tower_of_a_checkpoint(tmp_path: Path) -> None:
    clip = tiny_clip(seed=5)
    clip.save_pretrained(tmp_path)
    backbone = tiny_backbone(checkpoint=str(tmp_path))
    pixels = torch.randn(1, 3, 32, 32)
    assert not torch.allclose(backbone(pixels)[-1], clip.encode_dense(pixels))
    backbone.init_weights()
    torch.testing.assert_close(backbone(pixels)[-1], clip.encode_dense(pixels))


def test_init_weights__names_the_sizes_that_do_not_fit(tmp_path: Path) -> None:
    tiny_clip(vision=dict(width=48)).save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match='size mismatch'):
        tiny_backbone(checkpoint=str(tmp_path)).init_weights()


def test_out_indices__refuses_a_block_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r'out_indices: expected blocks in 0..1, got \(0, 2\)'):
        CLIPViTBackbone(vision=TINY_VISION, out_indices=(0, 2))
