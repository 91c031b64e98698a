"""``fgdet convert`` as a user calls it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fgdet.cli.convert import command
from fgdet.cli.main import main
from tests.builders import OFFICIAL


def test_convert__says_what_was_written_and_what_was_left_out(tmp_path: Path) -> None:
    folder, report = tmp_path / 'plain', tmp_path / 'report.json'
    result = CliRunner().invoke(command, [str(OFFICIAL), str(folder), '--to', 'clip', '--json', str(report)])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == f'fg-clip -> clip: 0.3 M parameters (float32), 64 px, quick_gelu; written to {folder}'
    assert lines[1].startswith('left out, as clip has no place for it: the long text table') and len(lines) == 2
    written = json.loads(report.read_text())
    assert (written['from'], written['to'], written['tensors']) == ('fg-clip', 'clip', 91)
    assert written['dtypes'] == {'float32': 91}


def test_convert__unknown_layout_is_a_usage_error(tmp_path: Path) -> None:
    assert CliRunner().invoke(command, [str(OFFICIAL), str(tmp_path / 'x'), '--to', 'onnx']).exit_code == 2


def test_convert__failure_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'weights.safetensors').write_text('just text\n')
    monkeypatch.setattr('sys.argv', ['fgdet', 'convert', str(tmp_path / 'weights.safetensors'), str(tmp_path / 'x')])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    printed = capsys.readouterr().err
    path = tmp_path / 'weights.safetensors'
    assert printed == f'fgdet: error: checkpoint {path}: it cannot be read as weights (damaged, or no checkpoint)\n'
    assert not (tmp_path / 'x').exists()
