"""The parity check: it passes on the official numbers, and it sees what differs."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fgdet.apis.parity import check_parity
from fgdet.utils.checks import UserError
from tests.builders import OFFICIAL, ROOT, official_json

FILES = ('config.json', 'model.safetensors', 'reference.safetensors', 'losses.json')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copy(OFFICIAL / name, tmp_path / name)
    return tmp_path


def scale_weight(folder: Path, name: str, change: float) -> None:
    weights = load_file(folder / 'model.safetensors')
    weights[name] = weights[name] * (1 + change)
    save_file(weights, folder / 'model.safetensors')


def test_check_parity__official_numbers() -> None:
    result = check_parity(OFFICIAL)
    assert result['ok'] and result['max_error'] == max(result['entries'].values()) <= 1e-5
    assert max(result['losses'].values()) <= 1e-5
    assert len(result['losses']) == 15  # four terms and their sum, on two batches and their union
    # Every recorded gradient twice, its norm and its probe; only the key biases, which are noise, are left out.
    recorded = official_json('losses')['single_process']['grads']
    assert len(result['gradients']) == 2 * len([n for n in recorded if not n.endswith('k_proj.bias')])
    assert max(result['gradients'].values()) <= 1e-4


@pytest.mark.parametrize(
    ('weight', 'entry'),
    [
        ('vision_model.post_layernorm.bias', 'image_features'),
        ('vision_model.embeddings.position_embedding.weight', 'interp_48x80.image_dense_features'),
        ('text_model.embeddings.position_embedding_res.weight', 'text.features_long'),
        ('text_projection.weight', 'text.features_short'),
    ],
)
def test_check_parity__sees_a_changed_weight(folder: Path, weight: str, entry: str) -> None:
    scale_weight(folder, weight, 0.01)
    result = check_parity(folder)
    assert not result['ok'] and result['entries'][entry] > 1e-4


def test_check_parity__sees_a_changed_scale(folder: Path) -> None:
    scale_weight(folder, 'logit_scale_hardneg', 0.01)
    result = check_parity(folder)
    assert not result['ok'] and result['max_error'] <= 1e-5  # features do not depend on it
    assert result['losses']['rank0.loss_hard'] > 1e-3


def test_check_parity__sees_a_gradient_of_another_sign(folder: Path) -> None:
    losses = official_json('losses')
    losses['single_process']['grads']['visual_projection.weight']['probe'] *= -1
    (folder / 'losses.json').write_text(json.dumps(losses))
    result = check_parity(folder)
    assert not result['ok'] and result['gradients']['visual_projection.weight.probe'] > 1e-4


def test_check_parity__missing_file(folder: Path) -> None:
    (folder / 'losses.json').unlink()
    with pytest.raises(UserError, match=r'reference losses .*losses\.json: no such file'):
        check_parity(folder)


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, 'argv', ['check_parity.py', *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / 'tools/check_parity.py'), run_name='__main__')
    return int(caught.value.code or 0)


def test_tool__writes_json_and_succeeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_tool(monkeypatch, str(OFFICIAL), '--json', str(tmp_path / 'out.json')) == 0
    written = json.loads((tmp_path / 'out.json').read_text())
    assert written['ok'] is True and {'max_error', 'entries', 'losses'} <= written.keys()
    assert capsys.readouterr().out.endswith('ok\n')


def test_tool__difference_exits_with_one(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    scale_weight(folder, 'text_projection.weight', torch.pi)
    assert run_tool(monkeypatch, str(folder)) == 1


def test_tool__missing_folder_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / 'empty').mkdir()
    assert run_tool(monkeypatch, str(tmp_path / 'empty')) == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'config.json is missing' in error
