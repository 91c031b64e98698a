"""Weights in parts, and files told apart by what is in them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fgdet.checkpoints.state_files import read_sharded, read_state_file
from fgdet.utils.checks import UserError

PARTS = {'a-1.safetensors': {'x': torch.arange(3.0)}, 'a-2.safetensors': {'y': torch.ones(2), 'z': torch.zeros(1)}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, tensors in PARTS.items():
        save_file(tensors, tmp_path / name)
    write_index(tmp_path, {key: name for name, tensors in PARTS.items() for key in tensors})
    return tmp_path


def write_index(folder: Path, weight_map: object) -> None:
    (folder / 'model.safetensors.index.json').write_text(json.dumps(dict(metadata={}, weight_map=weight_map)))


def problem(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_sharded(folder, ['model.safetensors', 'pytorch_model.bin'])
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_read_sharded__parts_make_the_whole(folder: Path) -> None:
    state = read_sharded(folder, ['model.safetensors'])
    expected = {key: value for tensors in PARTS.values() for key, value in tensors.items()}
    assert state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in expected)


def test_read_sharded__missing_parts_are_listed(folder: Path) -> None:
    (folder / 'a-2.safetensors').unlink()
    assert problem(folder) == f'checkpoint folder {folder}: 1 of 2 parts missing: a-2.safetensors'


def test_read_sharded__index_and_parts_that_disagree(folder: Path) -> None:
    write_index(folder, {'x': 'a-1.safetensors', 'w': 'a-1.safetensors', 'y': 'a-2.safetensors'})
    assert problem(folder).endswith('model.safetensors.index.json and the parts disagree on w, z')


@pytest.mark.parametrize('part', ['../a-1.safetensors', '/etc/passwd', 'sub/a-1.safetensors'])
def test_read_sharded__index_that_leads_out_of_the_folder(folder: Path, part: str) -> None:
    write_index(folder, {'x': part})
    assert 'is no name of a file beside it' in problem(folder)


@pytest.mark.parametrize('weight_map', [None, [1], {'x': 3}])
def test_read_sharded__no_index(folder: Path, weight_map: object) -> None:
    write_index(folder, weight_map)
    assert 'it has no weight_map of file names' in problem(folder)


def test_read_sharded__pickled_weights_are_the_second_choice(tmp_path: Path) -> None:
    torch.save({'x': torch.ones(2)}, tmp_path / 'pytorch_model.bin')
    assert torch.equal(read_sharded(tmp_path, ['model.safetensors', 'pytorch_model.bin'])['x'], torch.ones(2))
    save_file({'x': torch.zeros(2)}, tmp_path / 'model.safetensors')
    assert torch.equal(read_sharded(tmp_path, ['model.safetensors', 'pytorch_model.bin'])['x'], torch.zeros(2))


def test_read_sharded__empty_folder(tmp_path: Path) -> None:
    assert problem(tmp_path) == (
        f'checkpoint folder {tmp_path}: model.safetensors is missing; it must be in the Hugging Face layout'
    )


def test_read__by_content_whatever_the_name(tmp_path: Path) -> None:
    save_file({'x': torch.ones(2)}, tmp_path / 'weights.pth')
    torch.save({'x': torch.zeros(2)}, tmp_path / 'weights.safetensors')
    assert torch.equal(read_state_file(tmp_path / 'weights.pth')['x'], torch.ones(2))
    assert torch.equal(read_state_file(tmp_path / 'weights.safetensors')['x'], torch.zeros(2))


def test_read__truncated_safetensors(tmp_path: Path) -> None:
    save_file({'x': torch.ones(100)}, tmp_path / 'whole.safetensors')
    content = (tmp_path / 'whole.safetensors').read_bytes()
    for length in (4, 20, len(content) - 8):
        (tmp_path / 'cut.safetensors').write_bytes(content[:length])
        with pytest.raises(UserError, match=r'cut\.safetensors: it cannot be read as weights \(damaged, or no check'):
            read_state_file(tmp_path / 'cut.safetensors')


def test_read__pointer_of_git_lfs(tmp_path: Path) -> None:
    pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 598641023\n'
    (tmp_path / 'model.safetensors').write_text(pointer)
    with pytest.raises(UserError, match='it is a pointer of git-lfs, not the file itself; fetch it: git lfs pull'):
        read_state_file(tmp_path / 'model.safetensors')
