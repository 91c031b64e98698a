import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fgdet.cli.evaluate import command
from fgdet.utils.checks import UserError


@pytest.fixture
def data_dir(request):
    return request.config.rootpath / 'tests' / 'data' / 'ov_coco'


def _arguments(data_dir, *more):
    files = ['--ann', str(data_dir / 'annotations.json'), '--pred', str(data_dir / 'predictions_bbox.json')]
    return ['ov-coco', *files, *more]


def test_ov_coco__writes_the_reference_numbers(data_dir, tmp_path):
    json_file = tmp_path / 'scores.json'
    result = CliRunner().invoke(command, _arguments(data_dir, '--json', str(json_file)))
    assert result.exit_code == 0, result.output
    expected = json.loads((data_dir / 'expected_bbox.json').read_text())
    written = json.loads(json_file.read_text())
    assert {key: written[key] for key in expected} == pytest.approx(expected, abs=1e-6)
    header, base = (line.split() for line in result.output.splitlines()[1:3])
    assert header == ['AP50', 'AP']
    assert base == ['base', '57.33', '38.58']


def test_ov_coco__takes_a_split_of_its_own(data_dir, tmp_path):
    split, json_file = tmp_path / 'split.json', tmp_path / 'scores.json'
    split.write_text(json.dumps({'base': ['person'], 'novel': ['toaster']}))
    arguments = _arguments(data_dir, '--split', str(split), '--json', str(json_file))
    assert CliRunner().invoke(command, arguments).exit_code == 0
    scores = json.loads(json_file.read_text())
    assert scores['all_ap50'] == scores['base_ap50'] > 0
    assert scores['novel_ap50'] is None  # no toaster in these images: JSON has no NaN


def test_ov_coco__split_without_groups_is_refused(data_dir, tmp_path):
    split = tmp_path / 'split.json'
    split.write_text('["person"]')
    result = CliRunner().invoke(command, _arguments(data_dir, '--split', str(split)))
    assert isinstance(result.exception, UserError)
    assert 'neither base nor novel' in str(result.exception)


def test_ov_coco__failure_is_one_line_and_exit_1(data_dir):
    arguments = ['evaluate', 'ov-coco', '--ann', str(data_dir / 'split.json'), '--pred', 'none.json']
    code = 'from fgdet.cli.main import main; main()'
    done = subprocess.run([sys.executable, '-c', code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count('\n') == 1
    assert "split.json: no list under 'images'" in done.stderr


@pytest.mark.parametrize(
    ('option', 'place', 'message'),
    [
        ('--json', '.', 'it is a folder; give the path of a file'),
        ('--html', 'a_file/page.html', 'is no folder; choose another place'),
    ],
)
def test_ov_coco__output_that_cannot_be_written_is_refused_first(tmp_path, option, place, message):
    (tmp_path / 'a_file').write_text('')
    arguments = ['ov-coco', '--ann', 'none', '--pred', 'none', option, str(tmp_path / place)]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, UserError)
    assert str(result.exception).startswith(f'{option} {tmp_path / place}: ')
    assert message in str(result.exception)


def test_ov_coco__missing_option_is_a_usage_error():
    assert CliRunner().invoke(command, ['ov-coco']).exit_code == 2
