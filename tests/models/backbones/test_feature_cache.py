"""The cache of features: the bits of the tower, whatever happens to its files."""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fgdet.models.backbones.clip_vit import CLIPViTBackbone
from fgdet.models.backbones.feature_cache import FeatureCache
from fgdet.utils.checks import UserError
from tests.builders import TINY_VISION


def backbone(folder: Path | None, seed: int = 0, vision: dict[str, Any] | None = None, **cache: Any) -> CLIPViTBackbone:
    torch.manual_seed(seed)
    settings = None if folder is None else dict(dir=str(folder), **cache)
    vision = TINY_VISION | dict(num_layers=3) | (vision or {})
    return CLIPViTBackbone(vision=vision, out_indices=(0, 2), feature_cache=settings)


def same(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> bool:
    """Equal bits at equal strides."""
    pairs = list(zip(ours, theirs, strict=True))
    return all(torch.equal(a, b) and a.dtype == b.dtype and a.stride() == b.stride() for a, b in pairs)


def counts(tower: CLIPViTBackbone) -> tuple[int, int]:
    assert tower.feature_cache is not None
    return tower.feature_cache.hits, tower.feature_cache.misses


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(3, 3, 24, 40, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged as a warning."""
    lines: list[str] = []
    monkeypatch.setattr('fgdet.models.backbones.feature_cache.print_log', lambda text, *_: lines.append(text))
    return lines


@pytest.mark.parametrize('dense', [False, True])
def test_cache__gives_the_bits_of_the_tower(tmp_path: Path, pixels: Tensor, dense: bool) -> None:
    expected = backbone(None)(pixels, dense=dense)
    assert same(backbone(tmp_path)(pixels, dense=dense), expected)
    again = backbone(tmp_path)
    assert same(again(pixels, dense=dense), expected)
    assert counts(again) == (3, 0)


def test_cache__a_batch_of_known_and_unknown_images(tmp_path: Path, pixels: Tensor) -> None:
    plain, cached = backbone(None), backbone(tmp_path)
    known = cached(pixels[:2])
    mixed = cached(pixels.flip(0))
    assert counts(cached) == (2, 3)
    # Each image has the bits of the batch in which it was computed: the first two images' first batch, the third alone.
    alone = plain(pixels[2:])
    for i, output in enumerate(mixed):
        assert torch.equal(output, torch.cat([alone[i], known[i].flip(0)]))
    for ours, theirs in zip(mixed, plain(pixels.flip(0)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_cache__no_image(tmp_path: Path) -> None:
    assert [len(each) for each in backbone(tmp_path)(torch.zeros(0, 3, 16, 16))] == [0, 0, 0]


def test_cache__in_half_precision(tmp_path: Path, pixels: Tensor) -> None:
    whole = backbone(tmp_path)(pixels)
    with torch.autocast('cpu', torch.bfloat16):
        expected, first, second = backbone(None)(pixels), backbone(tmp_path)(pixels), backbone(tmp_path)(pixels)
    assert same(first, expected) and same(second, expected)
    assert not torch.equal(expected[-1].float(), whole[-1])


def test_cache__other_weights_settings_and_pixels_are_other_entries(tmp_path: Path, pixels: Tensor) -> None:
    backbone(tmp_path)(pixels)
    others = [
        (backbone(tmp_path, seed=1), pixels),
        (backbone(tmp_path, vision=dict(window_size=2)), pixels),
        (backbone(tmp_path, vision=dict(num_heads=4)), pixels),
        (backbone(tmp_path, vision=dict(activation='gelu')), pixels),
        (backbone(tmp_path), pixels.transpose(2, 3)),
        (backbone(tmp_path), pixels + 1e-6),
        (backbone(tmp_path).double(), pixels.double()),
    ]
    for tower, images in others:
        plain = copy.deepcopy(tower)
        plain.feature_cache = None
        assert same(tower(images), plain(images))
        assert counts(tower) == (0, 3)


def test_cache__follows_weights_that_change(tmp_path: Path, pixels: Tensor) -> None:
    tower, other = backbone(tmp_path), backbone(None, seed=1)
    tower(pixels)
    tower.load_state_dict(other.state_dict())
    assert same(tower(pixels), other(pixels))
    # mmengine's moving averages write into the storage, before a validation turns the model to eval mode.
    for parameter in tower.parameters():
        parameter.data.mul_(0.5)
    other.visual.load_state_dict(tower.visual.state_dict())
    assert same(tower.eval()(pixels), other(pixels))


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'empty', 'other'])
def test_cache__a_damaged_file_is_computed_anew_and_replaced(tmp_path: Path, pixels: Tensor, damage: str) -> None:
    expected = backbone(tmp_path)(pixels)
    file = sorted(tmp_path.rglob('*.safetensors'))[0]
    whole = file.read_bytes()
    flipped = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    file.write_bytes(dict(cut=whole[:-9], flipped=flipped, empty=b'', other=b'{"a": 1}' * 9)[damage])
    tower = backbone(tmp_path)
    for ours, theirs in zip(tower(pixels), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert counts(tower) == (2, 1)
    tower(pixels)
    assert counts(tower) == (5, 1) and len(file.read_bytes()) == len(whole)


def test_cache__a_full_one_is_used_and_not_added_to(tmp_path: Path, pixels: Tensor, said: list[str]) -> None:
    backbone(tmp_path)(pixels[:1])
    size = next(tmp_path.rglob('*.safetensors')).stat().st_size
    tower = backbone(tmp_path, max_gib=2.5 * size / 2**30)
    for _ in range(2):
        for image in pixels.split(1):
            assert same(tower(image), backbone(None)(image))
    assert counts(tower) == (3, 3) and len(list(tmp_path.rglob('*.safetensors'))) == 2
    assert len(said) == 1 and 'it holds max_gib=' in said[0] and 'nothing is added' in said[0]


def test_cache__the_room_is_shared_among_ranks(
    tmp_path: Path, pixels: Tensor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone(tmp_path)(pixels[:1])
    size = next(tmp_path.rglob('*.safetensors')).stat().st_size
    monkeypatch.setattr('fgdet.models.backbones.feature_cache.world_size', lambda: 2)
    backbone(tmp_path, max_gib=3.5 * size / 2**30)(pixels)  # of the room for 2.5, one and a bit
    assert len(list(tmp_path.rglob('*.safetensors'))) == 2 and len(said) == 1


def test_cache__a_folder_that_cannot_be_written(tmp_path: Path, pixels: Tensor, said: list[str]) -> None:
    (tmp_path / 'file').write_text('')
    tower = backbone(tmp_path / 'file')
    for _ in range(2):
        assert same(tower(pixels), backbone(None)(pixels))
    assert len(said) == 1 and f'feature cache {tmp_path / "file"}: it cannot be written (' in said[0]


def test_cache__a_disk_that_is_full(
    tmp_path: Path, pixels: Tensor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_bytes(path: Path, data: bytes) -> None:
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr('fgdet.models.backbones.feature_cache.write_bytes', write_bytes)
    tower = backbone(tmp_path)
    assert same(tower(pixels), backbone(None)(pixels)) and same(tower(pixels), backbone(None)(pixels))
    assert len(said) == 1 and 'No space left on device' in said[0]


def test_cache__refuses_a_tower_that_learns_and_no_room(tmp_path: Path) -> None:
    cache = dict(dir=str(tmp_path))
    for options in (dict(frozen=False), dict(unfreeze_last=1), dict(lora=dict(rank=2))):
        with pytest.raises(UserError, match='feature_cache: features of a tower that learns change with every step'):
            CLIPViTBackbone(vision=TINY_VISION, out_indices=(0, 1), feature_cache=cache, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='max_gib: expected above 0, got 0'):
        FeatureCache(tmp_path, max_gib=0)
