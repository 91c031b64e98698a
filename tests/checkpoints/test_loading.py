"""Weights from every kind of place, and one line for what cannot be read."""

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.logging.history_buffer import HistoryBuffer
from safetensors.torch import load_file, save_file

from fgdet.checkpoints.clip_state import plain_clip_state
from fgdet.checkpoints.loading import load_checkpoint, load_tower_into
from fgdet.checkpoints.openai_clip import state_to_openai
from fgdet.checkpoints.state_files import read_state_file
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError
from tests.builders import OFFICIAL, TINY_TEXT, TINY_VISION, tiny_clip, tiny_pretrainer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A writable copy of the official checkpoint."""
    for name in ('config.json', 'model.safetensors'):
        shutil.copy(OFFICIAL / name, tmp_path / name)
    return tmp_path


def own_checkpoint(path: Path, cfg: str | None = None) -> dict[str, torch.Tensor]:
    """Write what mmengine writes while a tiny model is pretrained; gives the model's state."""
    pretrainer = tiny_pretrainer()
    if cfg is None:
        model = dict(type='fgdet.FGCLIPPretrainer', clip=dict(type='fgdet.FGCLIP', vision=TINY_VISION, text=TINY_TEXT))
        cfg = Config(dict(model=model, randomness=dict(seed=-1), betas=(0.9, 0.98))).pretty_text
    meta = dict(cfg=cfg, seed=0, iter=3)
    torch.save(dict(meta=meta, state_dict=pretrainer.state_dict(), optimizer={}), path)
    return pretrainer.clip.state_dict()


def one_line(path: Path | str) -> str:
    """The message that loading gives."""
    with pytest.raises(UserError) as caught:
        FGCLIP.from_pretrained(path)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_load__a_plain_clip_folder_is_completed(folder: Path) -> None:
    state = load_file(folder / 'model.safetensors')
    for name in ('text_filip_projection.weight', 'logit_scale_finegraind', 'logit_scale_hardneg'):
        del state[name]
    for part in ('ori', 'res'):
        del state[f'text_model.embeddings.position_embedding_{part}.weight']
    save_file(state, folder / 'model.safetensors')
    model = FGCLIP.from_pretrained(folder)
    assert torch.equal(model.text.long_projection.weight, model.text.projection.weight)
    assert model.logit_scale_region == model.logit_scale


def test_load__own_checkpoint(tmp_path: Path) -> None:
    state = own_checkpoint(tmp_path / 'iter_3.pth')
    model = FGCLIP.from_pretrained(tmp_path / 'iter_3.pth')
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)


def test_load__own_checkpoint_never_runs_its_config(tmp_path: Path) -> None:
    crafted = f'import pathlib\npathlib.Path({str(tmp_path / "executed")!r}).touch()\nmodel = dict(clip=dict())'
    own_checkpoint(tmp_path / 'crafted.pth', crafted)
    assert 'its config describes no FG-CLIP' in one_line(tmp_path / 'crafted.pth')
    crafted = f"model = dict(clip=dict(vision=open({str(tmp_path / 'executed')!r}, 'w'), text=dict()))"
    own_checkpoint(tmp_path / 'crafted.pth', crafted)
    assert 'holds more than values (line 1)' in one_line(tmp_path / 'crafted.pth')
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize('cfg', ['model = dict(type="SomethingElse")', 'model = 3', 'work_dir = "x"'])
def test_load__own_checkpoint_of_another_model(tmp_path: Path, cfg: str) -> None:
    own_checkpoint(tmp_path / 'other.pth', cfg)
    assert 'its config describes no FG-CLIP' in one_line(tmp_path / 'other.pth')


def test_load__checkpoint_of_a_detector_has_no_clip_weights(tmp_path: Path) -> None:
    torch.save(dict(meta=dict(cfg='model = dict()'), state_dict={'backbone.w': torch.zeros(1)}), tmp_path / 'det.pth')
    assert 'it was not written by fgdet pretraining' in one_line(tmp_path / 'det.pth')


def test_load__keys_missing_and_left_over_are_listed(folder: Path) -> None:
    state = load_file(folder / 'model.safetensors')
    del state['visual_projection.weight'], state['text_model.final_layer_norm.bias']
    state['vision_model.encoder.layers.3.mlp.fc1.bias'] = torch.zeros(128)
    save_file(state, folder / 'model.safetensors')
    message = one_line(folder)
    assert 'weights missing: text.final_norm.bias, visual.projection.weight' in message
    assert 'weights left over: visual.blocks.3.mlp.fc1.bias' in message


def test_load__sizes_that_contradict_the_config_are_listed(folder: Path) -> None:
    config = json.loads((folder / 'config.json').read_text())
    config['vision_config']['image_size'] = 80
    (folder / 'config.json').write_text(json.dumps(config))
    message = one_line(folder)
    assert 'weights of another size: visual.position_embedding (17, 64) instead of (26, 64)' in message


def test_checkpoint_argument__of_another_size(tmp_path: Path) -> None:
    tiny_clip().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r'weights missing: .*blocks\.2.*of another size: visual\.patch_embedding'):
        FGCLIP(vision=TINY_VISION | dict(num_layers=3, patch_size=16), text=TINY_TEXT, checkpoint=str(tmp_path))


def test_load__unknown_names_are_listed(folder: Path) -> None:
    state = load_file(folder / 'model.safetensors') | {'cls_head.bias': torch.zeros(1)}
    save_file(state, folder / 'model.safetensors')
    assert 'holds 1 tensors that FG-CLIP has not: cls_head.bias' in one_line(folder)


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
def test_load__folder_without_a_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f'{name} is missing; it must be in the Hugging Face layout' in one_line(folder)


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
@pytest.mark.parametrize('content', [b'', b'\x00\x01\x02', b'just text\n', b'[1, 2]'])
def test_load__folder_with_a_damaged_file(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    message = one_line(folder)
    assert str(folder) in message and name in message


@pytest.mark.parametrize('name', ['weights.pth', 'weights.pt', 'weights.bin', 'weights.safetensors'])
def test_load__file_that_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('just text\n')
    assert one_line(path) == f'checkpoint {path}: it cannot be read as weights (damaged, or no checkpoint)'
    path.write_bytes(b'')
    assert 'damaged, or no checkpoint' in one_line(path)


def test_load__truncated_file(tmp_path: Path) -> None:
    own_checkpoint(tmp_path / 'whole.pth')
    content = (tmp_path / 'whole.pth').read_bytes()
    (tmp_path / 'half.pth').write_bytes(content[: len(content) // 2])
    assert 'damaged, or no checkpoint' in one_line(tmp_path / 'half.pth')


class Malicious:
    """Creates a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def write_with_torch(content: Any, path: Path) -> None:
    torch.save(content, path)


def write_with_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize('write', [write_with_torch, write_with_pickle])
def test_load__malicious_pickle_is_not_executed(tmp_path: Path, write: Any) -> None:
    write({'visual.conv1.weight': Malicious(tmp_path / 'executed')}, tmp_path / 'evil.pt')
    assert str(tmp_path / 'evil.pt') in one_line(tmp_path / 'evil.pt')
    assert not (tmp_path / 'executed').exists()


class StealsAttribute:
    """Asks the loader's stand-in for getattr for something that is no statistic of a log history."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (getattr, (HistoryBuffer, 'register_statistics'))


def test_read_state_file__getattr_fetches_nothing_but_log_statistics(tmp_path: Path) -> None:
    torch.save({'meta': StealsAttribute()}, tmp_path / 'evil.pth')
    with pytest.raises(UserError, match=r'evil\.pth: it cannot be read as weights'):
        read_state_file(tmp_path / 'evil.pth')


def test_load__state_of_another_model(tmp_path: Path) -> None:
    torch.save({'layer1.weight': torch.zeros(1)}, tmp_path / 'resnet.pth')
    assert 'neither a state dict of OpenAI or open_clip nor a checkpoint of fgdet' in one_line(tmp_path / 'resnet.pth')


@pytest.mark.parametrize('content', [torch.zeros(3), [torch.zeros(3)], {'state_dict': 3}, {1: torch.zeros(3)}])
def test_load__content_that_is_no_state(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / 'odd.pth')
    assert one_line(tmp_path / 'odd.pth').startswith(f'checkpoint {tmp_path / "odd.pth"}: ')


@pytest.mark.parametrize('path', ['missing.pth', '/missing/folder', 'a/b/c'])
def test_load__nothing_there(path: str) -> None:
    assert one_line(path) == f'checkpoint {path}: no such file or folder'


def test_load__hub_id_takes_only_weights_config_and_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def snapshot(repository: str, allow_patterns: list[str]) -> str:
        asked.update(repository=repository, patterns=allow_patterns)
        return str(OFFICIAL)

    monkeypatch.setattr('fgdet.checkpoints.hub.snapshot_download', snapshot)
    assert load_checkpoint('qihoo360/fg-clip-base').config['text']['vocab_size'] == 600
    assert asked['repository'] == 'qihoo360/fg-clip-base'
    assert not [p for p in asked['patterns'] if '*' in p or p.endswith(('.py', '.bin', '.pt', '.pth'))]


def test_load__state_dict_without_its_activation_is_taken_for_openais_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr('fgdet.checkpoints.loading.print_log', lambda message, *_: said.append(message))
    state = state_to_openai(plain_clip_state(tiny_clip(vision=dict(width=64, num_heads=1)).state_dict()))
    torch.save(state, tmp_path / 'bare.pt')
    bare = load_checkpoint(tmp_path / 'bare.pt')
    assert bare.config['vision']['activation'] == bare.config['text']['activation'] == 'quick_gelu'
    assert len(said) == 1 and '--activation gelu' in said[0]
    assert "bare.pt: a state dict does not say its activation; taken: 'quick_gelu'" in said[0]

    gelu = load_checkpoint(tmp_path / 'bare.pt', activation='gelu')
    assert gelu.config['vision']['activation'] == gelu.config['text']['activation'] == 'gelu'
    sizes = {name: torch.tensor(1) for name in ('input_resolution', 'context_length', 'vocab_size')}
    torch.save(state | sizes, tmp_path / 'openai.pt')
    assert load_checkpoint(tmp_path / 'openai.pt').layout == 'openai'
    message = "openai.pt: its vision tower was trained with activation 'quick_gelu', got 'gelu'"
    with pytest.raises(UserError, match=message):
        load_checkpoint(tmp_path / 'openai.pt', activation='gelu')
    assert len(said) == 1


def test_load_tower_into__the_weights_and_their_normalisation(tmp_path: Path) -> None:
    model = tiny_clip(seed=3)
    model.preprocessing = model.preprocessing._replace(mean=(0.5, 0.25, 0.125))
    model.save_pretrained(tmp_path)
    other = tiny_clip()
    found = load_tower_into(other.text, tmp_path, 'text')
    assert found == dict(mean=(0.5, 0.25, 0.125), std=model.preprocessing.std)
    assert all(torch.equal(a, b) for a, b in zip(other.text.parameters(), model.text.parameters(), strict=True))


def test_load_tower_into__weights_of_another_activation_or_architecture(tmp_path: Path) -> None:
    tiny_clip(text=dict(activation='gelu'), vision=dict(num_layers=3)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"its text tower was trained with activation 'gelu'.* has 'quick_gelu'"):
        load_tower_into(tiny_clip().text, tmp_path, 'text')
    message = "its visual tower has num_layers=3, and the config's has num_layers=2; give the config these sizes"
    with pytest.raises(UserError, match=message):
        load_tower_into(tiny_clip().visual, tmp_path, 'visual')
    same_sizes = tiny_clip(text=dict(activation='gelu')).text
    same_sizes.extra = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(UserError, match="its text tower lacks extra of the config's, or has it besides"):
        load_tower_into(same_sizes, tmp_path, 'text')


def test_load__weights_that_are_no_real_numbers(folder: Path) -> None:
    state = load_file(folder / 'model.safetensors')
    state['visual_projection.weight'] = state['visual_projection.weight'].long()
    save_file(state, folder / 'model.safetensors')
    assert 'weights that are no real numbers: visual.projection.weight' in one_line(folder)


@pytest.mark.parametrize(('field', 'value'), [('num_attention_heads', 5), ('hidden_size', 'wide'), ('patch_size', 0)])
def test_load__config_that_describes_no_model(folder: Path, field: str, value: object) -> None:
    config = json.loads((folder / 'config.json').read_text())
    config['vision_config'][field] = value
    (folder / 'config.json').write_text(json.dumps(config))
    assert 'its config describes no FG-CLIP' in one_line(folder)


def test_load__damaged_tokenizer(folder: Path) -> None:
    (folder / 'vocab.json').write_text('{"a": 0}')
    (folder / 'merges.txt').write_text('x y\n')
    assert f'tokenizer {folder}: vocab.json and merges.txt cannot be read' in one_line(folder)
