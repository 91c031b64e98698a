"""Tensors of a TorchScript archive against torch's own loader, and what is refused."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg

from fgdet.checkpoints.loading import load_checkpoint
from fgdet.checkpoints.torchscript import is_torchscript, read_torchscript, torchscript_activation
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError


def traced_clip(path: Path, quick_gelu: bool) -> open_clip.CLIP:
    """Write a small CLIP as OpenAI published theirs: traced, in half precision, its sizes beside the weights."""
    torch.manual_seed(0)
    model = open_clip.CLIP(
        embed_dim=8,
        vision_cfg=CLIPVisionCfg(layers=2, width=64, patch_size=8, image_size=16),
        text_cfg=CLIPTextCfg(vocab_size=50, width=64, heads=1, layers=1),
        quick_gelu=quick_gelu,
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        traced = torch.jit.trace(model, (torch.zeros(1, 3, 16, 16), torch.zeros(1, 77, dtype=torch.int64)))
    torch.jit.save(traced.half(), path)
    return model


@pytest.mark.parametrize('quick_gelu', [True, False])
def test_read__same_tensors_as_torch_reads_and_the_activation_of_its_code(tmp_path: Path, quick_gelu: bool) -> None:
    path = tmp_path / 'ViT.pt'
    model = traced_clip(path, quick_gelu)
    expected = torch.jit.load(path).state_dict()
    read = read_torchscript(path)
    assert is_torchscript(path)
    assert {name for name in expected if name not in read} == set()
    assert all(torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in expected.items())
    assert torchscript_activation(path) == ('quick_gelu' if quick_gelu else 'gelu')

    loaded = load_checkpoint(path)
    assert loaded.config['vision']['activation'] == ('quick_gelu' if quick_gelu else 'gelu')
    assert loaded.state['visual.projection.weight'].dtype == torch.float16
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        ours, theirs = FGCLIP.from_pretrained(path).encode_image(pixels), model.half().float().encode_image(pixels)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


class Malicious:
    """Creates a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def write_archive(path: Path, tree: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr('x/constants.pkl', b'')
        archive.writestr('x/code/__torch__.py', 'import os')
        archive.writestr('x/data.pkl', tree)
        archive.writestr('x/data/0', b'\0' * 8)


class Storage(pickle.Pickler):
    """Pickles strings that start with '@' as storages, the way torch does."""

    def persistent_id(self, obj: Any) -> Any:
        return ('storage', torch.FloatStorage, '0', 'cpu', 2) if obj == '@' else None


class Tensor:
    """A tensor of any claimed size on the two numbers of the archive."""

    def __init__(self, *size: int) -> None:
        self.size = size

    def __reduce__(self) -> tuple[Any, ...]:
        return (torch._utils._rebuild_tensor_v2, ('@', 0, self.size, (0,) * len(self.size), False, {}))


def crafted(content: Any, tmp_path: Path, **options: Any) -> str:
    with open(tmp_path / 'tree', 'wb') as file:
        Storage(file, protocol=2).dump(content)
    write_archive(tmp_path / 'evil.pt', (tmp_path / 'tree').read_bytes(), **options)
    with pytest.raises(UserError) as caught:
        load_checkpoint(tmp_path / 'evil.pt')
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_read__crafted_archives_run_nothing(tmp_path: Path) -> None:
    assert f'it asks for {os.mkdir.__module__}.mkdir' in crafted(Malicious(tmp_path / 'made'), tmp_path)
    assert not (tmp_path / 'made').exists()
    assert 'stands on 2 numbers' in crafted(Tensor(10**6, 10**6), tmp_path)  # not allocated
    assert 'is compressed' in crafted(Tensor(2), tmp_path, compression=zipfile.ZIP_DEFLATED)
    assert 'cannot be read' in crafted(Tensor(2), tmp_path)  # a tensor, but no module


def test_read__truncated_archive_is_one_line(tmp_path: Path) -> None:
    traced_clip(tmp_path / 'whole.pt', True)
    content = (tmp_path / 'whole.pt').read_bytes()
    (tmp_path / 'half.pt').write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match='damaged, or no checkpoint'):
        load_checkpoint(tmp_path / 'half.pt')


def test_load__archive_of_another_model(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / 'linear.pt')
    with pytest.raises(UserError, match='neither a state dict of OpenAI or open_clip nor a checkpoint of fgdet'):
        load_checkpoint(tmp_path / 'linear.pt')
