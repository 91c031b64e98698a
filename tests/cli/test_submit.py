import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fgdet.cli.submit import command
from tests.submission_builders import INFO_NAME, entries, entry, in_zip, write, write_info


@pytest.fixture
def info(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_info(tmp_path)


def test_submit__writes_says_and_checks(tmp_path, info):
    write(tmp_path / 'p.json', [*entries(50), entry(99)])
    arguments = ['coco', '--pred', 'p.json', '--images', INFO_NAME, '--out', './', '--fix', '--json', 'r.json']
    result = CliRunner().invoke(command, [*arguments, '--algorithm', 'mine'])
    assert result.exit_code == 0, result.output
    name = 'detections_test-dev2017_mine_results.zip'
    assert 'dropped, unknown image: 1\n' in result.stdout
    assert f'{name}: 50 boxes for test-dev2017' in result.stdout and 'read back and compared' in result.stdout
    assert 'fgdet: warning: image_info_test-dev2017.json has 4 images' in result.stderr
    assert json.loads((tmp_path / 'r.json').read_text())['num_written'] == len(in_zip(tmp_path / name)[1]) == 50
    result = CliRunner().invoke(command, ['check', name, '--images', INFO_NAME])
    assert result.exit_code == 0 and '50 boxes for test-dev2017' in result.stdout


def test_submit__a_failure_is_one_report_and_exit_1(tmp_path, info):
    write(tmp_path / 'p.json', [entry(), entry(score=2)])
    code = 'from fgdet.cli.main import main; main()'
    arguments = ['submit', 'lvis', '--pred', 'p.json', '--images', INFO_NAME, '--out', 'a.json']
    done = subprocess.run([sys.executable, '-c', code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not (tmp_path / 'a.json').exists()
    assert done.stderr.splitlines() == [
        'fgdet: error: p.json: not fit for lvis: score outside [0, 1]: 1, duplicate: 1; --fix mends what is safe; '
        'by entry, from 0:',
        '  [1] score: expected 0 to 1, got 2',
        '  [1] same image (10), category (1) and box as an earlier one',
    ]


def test_submit__missing_option_is_a_usage_error():
    assert CliRunner().invoke(command, ['coco', '--pred', 'p.json']).exit_code == 2
