"""``fgdet data build``: what it prints, a look before, wrong input in one line, the end by Ctrl-C."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fgdet.apis.data_build import Build
from fgdet.cli.data import command
from fgdet.utils.checks import UserError
from tests.builders import write_image


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    for i in range(3):
        write_image(tmp_path / f'images/p{i}.jpg', size=(40, 30), seed=i)
    (tmp_path / 'config.py').write_text(
        "stages = [dict(type='tests.data_engine.fake_stages:Say', fail=['p1']),"
        " dict(type='tests.data_engine.fake_stages:Box', drop=['p2'])]"
    )
    return ['build', f'{tmp_path}/images', '--out', f'{tmp_path}/out', '--config', f'{tmp_path}/config.py']


def test_build__look_then_build(tmp_path: Path, arguments: list[str]) -> None:
    look = CliRunner().invoke(command, [*arguments, '--dry-run', '--json', f'{tmp_path}/todo.json'])
    assert look.exit_code == 0 and 'say: 3 images to do' in look.output and not (tmp_path / 'out').exists()
    assert json.loads((tmp_path / 'todo.json').read_text()) == dict(todo=dict(images=3, say=3, box=3))
    result = CliRunner().invoke(command, [*arguments, '--json', f'{tmp_path}/run.json'])
    assert result.exit_code == 0, result.output
    assert f'failed: 1 by say ({tmp_path}/out/failures.jsonl)' in result.output
    assert 'dropped: 1 by box: small' in result.output
    assert f'1 of 3 images, 1 regions, 2 hard negatives: {tmp_path}/out' in result.output
    assert json.loads((tmp_path / 'run.json').read_text())['counts']['records'] == 1


def test_build__wrong_input(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(command, [*arguments, '--stages', 'say,none'])
    assert isinstance(result.exception, UserError) and 'choose from say, box' in str(result.exception)
    result = CliRunner().invoke(command, ['build', f'{tmp_path}/images', '--out', f'{tmp_path}/config.py'])
    assert isinstance(result.exception, UserError) and 'it is no folder' in str(result.exception)


def test_build__interrupted(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Build) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Build, 'run', interrupted)
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 130 and 'the same command goes on from here' in result.output
