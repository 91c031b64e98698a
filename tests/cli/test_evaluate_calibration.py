import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fgdet.apis.calibration_evaluation import evaluate_calibration
from fgdet.cli.evaluate import command
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError


@pytest.fixture
def files(request):
    folder = request.config.rootpath / 'tests' / 'data' / 'ov_coco'
    return ['--ann', str(folder / 'annotations.json'), '--pred', str(folder / 'predictions_bbox.json')]


def test_calibration__thresholds_are_a_vocabulary_for_detect(files, tmp_path):
    scores, thresholds = tmp_path / 'scores.json', tmp_path / 'vocabulary.json'
    wanted = ['--vocab', 'ov_coco', '--ci', '--resamples', '20']
    arguments = ['calibration', *files, *wanted, '--json', str(scores), '--thresholds-out', str(thresholds)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    written = json.loads(scores.read_text())
    vocabulary = Vocabulary.from_file(thresholds)
    assert len(vocabulary) == 65 and vocabulary.threshold_of('person', 0.0) == written['classes'][0]['threshold']
    assert written['own_f1'] >= written['common_f1'] > 0
    low, high = written['intervals']['ece']
    assert low < written['ece'] < high
    assert written['num_detections'] == sum(each['num_detections'] for each in written['bins'])
    gaps = [each['num_detections'] * abs(each['accuracy'] - each['confidence']) for each in written['bins']]
    assert written['ece'] == pytest.approx(np.sum(gaps) / written['num_detections'])


def test_calibration__nothing_right_and_bad_scores(files, tmp_path):
    predictions = json.loads(Path(files[3]).read_text())
    changed, out = tmp_path / 'predictions.json', tmp_path / 'out.json'
    changed.write_text(json.dumps([*predictions[:1], predictions[1] | {'score': 2.5}]))
    with pytest.raises(UserError, match=r'0\.\.1, got 2\.5'):
        evaluate_calibration(files[1], changed)
    changed.write_text('[]')
    arguments = ['calibration', '--ann', files[1], '--pred', str(changed)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0 and result.output.endswith('no threshold: no detection is right\n')
    result = CliRunner().invoke(command, [*arguments, '--thresholds-out', str(out)])
    assert isinstance(result.exception, UserError) and not out.exists()
