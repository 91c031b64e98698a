"""Checkpoints through every layout and back, and destinations that are refused."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fgdet.apis.conversion import convert
from fgdet.checkpoints.clip_state import plain_clip_state
from fgdet.checkpoints.loading import load_checkpoint
from fgdet.models.fg_clip import FGCLIP
from fgdet.text.tokenizer import Tokenizer
from fgdet.utils.checks import UserError
from tests.builders import OFFICIAL, TINY_TEXT, TINY_VISION, official_json, official_tensors, tiny_clip


def folder_of(path: Path, dtype: torch.dtype = torch.float32, **towers: dict) -> Path:
    tiny_clip(**towers).to(dtype).save_pretrained(path)
    return path


def refused(*args: object, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        convert(*args, **options)  # type: ignore[arg-type]
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_convert__folder_has_exactly_the_official_keys_shapes_and_fields(tmp_path: Path) -> None:
    convert(OFFICIAL, tmp_path / 'run.pth')
    report = convert(tmp_path / 'run.pth', tmp_path / 'folder')
    assert (report['from'], report['to'], report['lost']) == ('fgdet', 'fg-clip', [])
    state = load_file(tmp_path / 'folder' / 'model.safetensors')
    assert {name: list(value.shape) for name, value in state.items()} == official_json('state_dict_keys')
    ours, theirs = (json.loads((f / 'config.json').read_text()) for f in (tmp_path / 'folder', OFFICIAL))
    del theirs['transformers_version']  # not ours to claim
    assert ours == theirs


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_convert__round_trip_keeps_every_byte(tmp_path: Path, dtype: torch.dtype) -> None:
    official = {name: value.to(dtype) for name, value in load_file(OFFICIAL / 'model.safetensors').items()}
    source = tmp_path / 'source'
    source.mkdir()
    save_file(official, source / 'model.safetensors', metadata={'format': 'pt'})
    (source / 'config.json').write_text((OFFICIAL / 'config.json').read_text())
    report = convert(source, tmp_path / 'run.pth')
    convert(tmp_path / 'run.pth', tmp_path / 'back')
    name = str(dtype).removeprefix('torch.')
    assert report['dtypes'] == {name: len(load_checkpoint(source).state)}
    assert (tmp_path / 'back' / 'model.safetensors').read_bytes() == (source / 'model.safetensors').read_bytes()
    assert json.loads((tmp_path / 'back' / 'config.json').read_text())['torch_dtype'] == name


@pytest.mark.parametrize('to', ['clip', 'open-clip', 'fgdet', 'fg-clip'])
def test_convert__what_travels_comes_back(tmp_path: Path, to: str) -> None:
    """Activation, image settings and plain CLIP's weights in each layout; the rest is said to be lost or is there."""
    model = FGCLIP(TINY_VISION | dict(activation='gelu'), TINY_TEXT | dict(activation='gelu'), dict(sampling_ratio=2))
    model.preprocessing = model.preprocessing._replace(mean=(0.5, 0.4, 0.3), interpolation='bilinear')
    model.save_pretrained(tmp_path / 'source')
    destination = tmp_path / ('there.pth' if to == 'fgdet' else 'there')
    lost = convert(tmp_path / 'source', destination, to)['lost']
    back = FGCLIP.from_pretrained(destination)
    assert back.preprocessing == model.preprocessing
    assert back.visual.activation == back.text.activation == 'gelu'
    assert back.pooler.sampling_ratio == (2 if to in ('fgdet', 'fg-clip') else -1)
    plain = to in ('clip', 'open-clip')
    assert bool(lost) == plain and (not plain or ('long text table' in lost[0] and 'pooler' in lost[1]))
    kept = plain_clip_state(model.state_dict()) if plain else model.state_dict()
    assert all(torch.equal(back.state_dict()[name], value) for name, value in kept.items())


def test_convert__plain_clip_becomes_fg_clip(tmp_path: Path) -> None:
    folder_of(tmp_path / 'source')
    convert(tmp_path / 'source', tmp_path / 'plain', 'clip')
    assert 'text_filip_projection.weight' not in load_file(tmp_path / 'plain' / 'model.safetensors')
    assert json.loads((tmp_path / 'plain' / 'config.json').read_text())['architectures'] == ['CLIPModel']
    report = convert(tmp_path / 'plain', tmp_path / 'again', 'fg-clip')
    assert (report['from'], report['lost']) == ('clip', [])
    model = FGCLIP.from_pretrained(tmp_path / 'again')
    assert torch.equal(model.text.long_projection.weight, model.text.projection.weight)


def test_convert__clip_becomes_what_the_official_training_starts_from(tmp_path: Path) -> None:
    convert(OFFICIAL, tmp_path / 'plain', 'clip')
    convert(tmp_path / 'plain', tmp_path / 'start')
    state = load_file(tmp_path / 'start' / 'model.safetensors')
    recorded = official_tensors()['resize.position_embedding_248']
    for part in ('ori', 'res'):
        table = state[f'text_model.embeddings.position_embedding_{part}.weight']
        torch.testing.assert_close(table, recorded, rtol=0, atol=1e-6)
    assert torch.equal(state['text_filip_projection.weight'], state['text_projection.weight'])
    assert state['logit_scale_finegraind'] == state['logit_scale_hardneg'] == state['logit_scale']


@pytest.mark.parametrize('suffix', ['.pt', '.safetensors'])
def test_convert__state_dict_of_open_clip(tmp_path: Path, suffix: str) -> None:
    source = folder_of(tmp_path / 'source', vision=dict(width=64, num_heads=1), text=dict(width=64, num_heads=1))
    report = convert(source, tmp_path / f'state{suffix}')
    assert report['to'] == 'open-clip' and 'the activation (quick_gelu)' in report['lost'][-1]
    kept = plain_clip_state(load_checkpoint(source).state)
    back = load_checkpoint(tmp_path / f'state{suffix}', 'quick_gelu')
    assert all(torch.equal(back.state[name], value) for name, value in kept.items())
    assert back.config['vision']['num_heads'] == 1


def test_convert__state_dict_cannot_say_uncommon_heads(tmp_path: Path) -> None:
    message = refused(folder_of(tmp_path / 'source', vision=dict(width=64)), tmp_path / 'state.pt')
    assert 'a state dict does not say that the vision tower has 2 heads; give a folder' in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ['source']


def test_convert__tokenizer_travels_or_is_said_to_be_lost(tmp_path: Path) -> None:
    letters = [chr(c) for c in range(ord('a'), ord('a') + 19)]
    tokens = [*letters, *(c + '</w>' for c in letters), '<|startoftext|>', '<|endoftext|>']
    tokenizer = Tokenizer({token: i for i, token in enumerate(tokens)}, [])
    FGCLIP(TINY_VISION, TINY_TEXT, tokenizer=tokenizer).save_pretrained(tmp_path / 'source')
    assert convert(tmp_path / 'source', tmp_path / 'plain', 'clip')['lost'] == [
        'the long text table and projection, and the region and hard-negative scales'
    ]
    assert FGCLIP.from_pretrained(tmp_path / 'plain').tokenize('ab c')[0, :5].tolist() == [38, 0, 20, 21, 39]
    assert convert(tmp_path / 'source', tmp_path / 'run.pth')['lost'] == ['the tokenizer']


@pytest.mark.parametrize(
    ('name', 'to', 'message'),
    [
        ('x', 'fgdet', "fgdet's own layout is a file; give it the suffix .pth"),
        ('x.pth', 'clip', 'the layout clip is a folder; give a name without .pth'),
        ('x.safetensors', 'fg-clip', 'the layout fg-clip is a folder; give a name without .safetensors'),
        ('x.pth', 'open-clip', '.pth is for fgdet; give open-clip a folder, or .pt or .safetensors'),
        ('x', 'onnx', "to: expected one of fg-clip, clip, open-clip, fgdet, got 'onnx'"),
    ],
)
def test_convert__name_and_layout_that_do_not_fit(tmp_path: Path, name: str, to: str, message: str) -> None:
    assert message in refused(OFFICIAL, tmp_path / name, to)
    assert not any(tmp_path.iterdir())


def test_convert__overwrites_a_checkpoint_only_when_told(tmp_path: Path) -> None:
    source = folder_of(tmp_path / 'source')
    convert(OFFICIAL, tmp_path / 'there')
    convert(OFFICIAL, tmp_path / 'there.pth')
    for name in ('there', 'there.pth'):
        assert 'it is there; choose another name, or give --overwrite' in refused(source, tmp_path / name)
        assert load_checkpoint(tmp_path / name).config['text']['vocab_size'] == 600
        convert(source, tmp_path / name, overwrite=True)
        assert load_checkpoint(tmp_path / name).config['text']['vocab_size'] == 40
    convert(source, source, 'clip', overwrite=True)  # onto itself
    assert load_checkpoint(source).layout == 'clip'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['source', 'there', 'there.pth']


def test_convert__never_replaces_a_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos' / 'a.jpg').touch()
    assert 'it is a folder that holds no checkpoint' in refused(OFFICIAL, tmp_path / 'photos', overwrite=True)
    convert(OFFICIAL, tmp_path / 'mixed')
    (tmp_path / 'mixed' / 'notes.md').touch()
    assert 'it holds notes.md too' in refused(OFFICIAL, tmp_path / 'mixed', overwrite=True)
    (tmp_path / 'empty').mkdir()
    convert(OFFICIAL, tmp_path / 'empty')


def test_convert__failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(OFFICIAL, tmp_path / 'there')
    before = {p.name: p.read_bytes() for p in (tmp_path / 'there').iterdir()}
    rename = os.rename

    def fails_second(old: Path, new: Path) -> None:
        if '.tmp' in str(old) and '.old' not in str(old):
            raise OSError(28, 'No space left on device')
        rename(old, new)

    monkeypatch.setattr('fgdet.apis.conversion.os.rename', fails_second)
    with pytest.raises(OSError, match='No space left'):
        convert(folder_of(tmp_path / 'source'), tmp_path / 'there', overwrite=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / 'there').iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ['source', 'there']


def test_convert__an_error_names_the_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path, data: bytes) -> None:
        raise OSError(28, 'No space left on device', str(path))

    monkeypatch.setattr('fgdet.apis.conversion.write_bytes', fails)
    with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}/run\.pth'$"):
        convert(OFFICIAL, tmp_path / 'run.pth')
    assert not list(tmp_path.iterdir())


def test_convert__leftover_and_missing_keys_stop_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / 'source')
    state = load_file(folder / 'model.safetensors')
    state['vision_model.encoder.layers.7.mlp.fc1.bias'] = state.pop('visual_projection.weight')
    save_file(state, folder / 'model.safetensors')
    message = refused(folder, tmp_path / 'there')
    assert 'missing: visual.projection.weight; weights left over: visual.blocks.7.mlp.fc1.bias' in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ['source']
