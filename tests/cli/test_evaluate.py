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


@pytest.mark.parametrize('options', [[], ['--fixed-ap']])
def test_lvis__writes_the_reference_numbers(data_dir, tmp_path, options):
    """No image has more than 300 detections and no class more than 10,000: both protocols give the same."""
    json_file, folder = tmp_path / 'scores.json', data_dir.parent / 'lvis'
    files = ['--ann', str(folder / 'annotations.json'), '--pred', str(folder / 'predictions_bbox.json')]
    result = CliRunner().invoke(command, ['lvis', *files, '--json', str(json_file), *options])
    assert result.exit_code == 0, result.output
    expected = json.loads((folder / 'expected_bbox.json').read_text())
    written = json.loads(json_file.read_text())
    if options:
        assert result.output.count('Fixed AP') == 2 and written['protocol'].startswith('Fixed AP')
        expected = {name: value for name, value in expected.items() if not name.startswith('AR')}
        expected['Fixed AP'] = expected['AP']
    assert {key: written[key] for key in expected} == pytest.approx(expected, abs=1e-6)


def test_coco__all_categories_of_the_file(data_dir, tmp_path):
    json_file = tmp_path / 'scores.json'
    arguments = ['coco', *_arguments(data_dir)[1:], '--json', str(json_file)]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    written = json.loads(json_file.read_text())
    expected = json.loads((data_dir / 'expected_bbox.json').read_text())
    assert list(written)[:7] == ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR@100']
    assert len(written['classes']) == 80  # of the 15 that are not among the 65, the file has no object
    assert (written['AP50'], written['AP']) == pytest.approx((expected['all_ap50'], expected['all_ap']), abs=1e-6)


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


def test_ov_coco__intervals_worst_classes_and_page(data_dir, tmp_path):
    page, json_file = tmp_path / 'page.html', tmp_path / 'scores.json'
    more = ['--ci', '--resamples', '5', '--worst-classes', '2', '--html', str(page), '--json', str(json_file)]
    result = CliRunner().invoke(command, _arguments(data_dir, *more))
    assert result.exit_code == 0, result.output
    low, high = json.loads(json_file.read_text())['intervals']['base_ap50']
    lines = result.output.splitlines()
    assert f'57.33 ({100 * low:.2f}-{100 * high:.2f})' in next(line for line in lines if line.startswith('base'))
    assert [line.split()[0] for line in lines[-3:]] == ['class', 'bench', 'kite']
    assert f'{100 * low:.2f}-{100 * high:.2f}' in page.read_text()
