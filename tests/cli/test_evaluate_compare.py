import inspect
import json

import pytest
from click.testing import CliRunner

from fgdet.apis.comparison import PROTOCOLS, protocol_api
from fgdet.cli.evaluate import command
from fgdet.utils.checks import UserError


@pytest.fixture
def data_dir(request):
    return request.config.rootpath / 'tests' / 'data' / 'ov_coco'


@pytest.fixture
def two_runs(data_dir, tmp_path):
    """The reference predictions, and the same without each third one; as result lists and as evaluations."""
    entries = json.loads((data_dir / 'predictions_bbox.json').read_text())
    for name, kept in (('a', entries), ('b', [each for index, each in enumerate(entries) if index % 3])):
        (tmp_path / f'{name}.pred.json').write_text(json.dumps(kept))
        files = ['--ann', str(data_dir / 'annotations.json'), '--pred', str(tmp_path / f'{name}.pred.json')]
        arguments = ['ov-coco', *files, '--json', str(tmp_path / f'{name}.json')]
        assert CliRunner().invoke(command, arguments).exit_code == 0
    return tmp_path


def _compare(*arguments):
    return CliRunner().invoke(command, ['compare', *map(str, arguments)])


def test_compare__says_what_both_evaluations_say(two_runs, data_dir):
    out = two_runs / 'compared.json'
    result = _compare(two_runs / 'a.json', two_runs / 'b.json', '--resamples', '20', '--json', out)
    assert result.exit_code == 0, result.output
    a, b, found = (json.loads((two_runs / name).read_text()) for name in ('a.json', 'b.json', 'compared.json'))
    for name in ('base_ap50', 'novel_ap', 'all_ap'):
        difference = found['differences'][name]
        assert difference['difference'] == pytest.approx(b[name] - a[name])
        assert difference['low'] <= difference['high']
        assert 0 <= difference['probability'] <= 1
    line = next(line for line in result.output.splitlines() if line.startswith('all AP50'))
    assert line.split()[2:5] == [
        f'{100 * a["all_ap50"]:.2f}',
        f'{100 * b["all_ap50"]:.2f}',
        '%+.2f' % (100 * (b['all_ap50'] - a['all_ap50'])),
    ]
    lists = [two_runs / 'a.pred.json', two_runs / 'b.pred.json']
    again = two_runs / 'again.json'
    options = ['--protocol', 'ov-coco', '--ann', data_dir / 'annotations.json', '--resamples', '20', '--json', again]
    assert _compare(*lists, *options).exit_code == 0
    assert json.loads(again.read_text())['differences'] == found['differences']


def test_compare__runs_that_cannot_be_compared_are_refused(two_runs, data_dir):
    a, b = two_runs / 'a.json', two_runs / 'b.json'

    def message(*arguments):
        result = _compare(*arguments)
        assert isinstance(result.exception, UserError), result.output
        assert '\n' not in str(result.exception)
        return str(result.exception)

    record = json.loads(b.read_text())
    other = json.loads((data_dir / 'annotations.json').read_text())
    (two_runs / 'same.json').write_text(json.dumps(other))
    other['annotations'] = other['annotations'][1:]
    (two_runs / 'other.json').write_text(json.dumps(other))
    files = ['--ann', str(two_runs / 'other.json'), '--pred', record['inputs']['pred']]
    assert CliRunner().invoke(command, ['ov-coco', *files, '--json', str(two_runs / 'c.json')]).exit_code == 0
    assert 'different ann' in message(a, two_runs / 'c.json')
    record['inputs']['ann'] = str(two_runs / 'same.json')  # another file of other spaces, so of other bytes
    b.write_text(json.dumps(record))
    (two_runs / 'b.pred.json').write_text('[]')
    assert 'they have changed since: evaluate again' in message(a, b)
    assert 'give --ann and --protocol' in message(two_runs / 'a.pred.json', a)
    assert 'leave out --ann' in message(a, a, '--ann', 'x')
    assert 'no name and inputs' in message(data_dir / 'expected_bbox.json', a)
    assert "protocol 'x': expected one of ov-coco" in message(
        two_runs / 'a.pred.json', a, '--ann', 'x', '--protocol', 'x'
    )


@pytest.mark.parametrize('name', PROTOCOLS)
def test_protocols__take_saved_predictions(name):
    assert 'pred' in inspect.signature(protocol_api(name, ())).parameters


def test_compare__of_models_takes_what_they_saved(tmp_path):
    """Accuracy on given boxes: the files that two evaluations of checkpoints would have written."""
    objects = [{'id': n, 'image_id': 1 + n % 3, 'category_id': 1 + n % 2, 'bbox': [n, 0, 9, 9]} for n in range(12)]
    images = [{'id': number, 'file_name': f'{number}.jpg'} for number in (1, 2, 3)]
    annotations = {
        'images': images,
        'annotations': objects,
        'categories': [{'id': 1, 'name': 'a'}, {'id': 2, 'name': 'b'}],
    }
    (tmp_path / 'ann.json').write_text(json.dumps(annotations))
    for name, num_wrong in (('a', 6), ('b', 3)):
        found = [
            {'image_id': each['image_id'], 'bbox': each['bbox'], 'score': 0.5}
            | {'category_id': 3 - each['category_id'] if each['id'] < num_wrong else each['category_id']}
            for each in objects
        ]
        (tmp_path / f'{name}.pred.json').write_text(json.dumps(found))
        files = ['--ann', str(tmp_path / 'ann.json'), '--pred', str(tmp_path / f'{name}.pred.json')]
        arguments = ['box-classification', *files, '--json', str(tmp_path / f'{name}.json')]
        assert CliRunner().invoke(command, arguments).exit_code == 0
        record = json.loads((tmp_path / f'{name}.json').read_text())
        record['inputs'] |= {'checkpoint': name, 'mode': 'crop', 'save_pred': record['inputs'].pop('pred')}
        (tmp_path / f'{name}.json').write_text(json.dumps(record))
    result = _compare(tmp_path / 'a.json', tmp_path / 'b.json', '--resamples', '10', '--json', tmp_path / 'c.json')
    assert result.exit_code == 0, result.output
    differences = json.loads((tmp_path / 'c.json').read_text())['differences']
    assert differences['top1']['difference'] == pytest.approx(0.25)
    record['inputs'].pop('save_pred')
    (tmp_path / 'b.json').write_text(json.dumps(record))
    result = _compare(tmp_path / 'a.json', tmp_path / 'b.json')
    assert 'run it with --save-pred' in str(result.exception)


def test_compare__no_file_is_written_over(two_runs):
    before = (two_runs / 'a.json').read_bytes()
    result = _compare(two_runs / 'a.json', two_runs / 'b.json', '--html', two_runs / 'a.json')
    assert isinstance(result.exception, UserError)
    assert 'a.json: A is the same file' in str(result.exception)
    assert (two_runs / 'a.json').read_bytes() == before


@pytest.mark.parametrize(
    'record', ['5', '{"name": "coco", "inputs": {"pred": "p.json"}}', '{"name": [], "inputs": {}}']
)
def test_compare__what_is_no_evaluation(tmp_path, record):
    (tmp_path / 'a.json').write_text(record)
    result = _compare(tmp_path / 'a.json', tmp_path / 'a.json')
    assert isinstance(result.exception, UserError)
    assert 'evaluation' in str(result.exception) and 'a.json' in str(result.exception)
